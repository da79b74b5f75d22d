"""Fills a freshly provisioned domain with the sample organisation, offline (the controller must not run).

    populate.py TREE <ADMIN_PASSWORD_FILE

prints one JSON object: the service account and the sample people with their passwords. scripts/dc keeps it, mode 0600.
"""
import json
import secrets
import sys
import uuid

import ldb
from samba.auth import system_session
from samba.dcerpc import misc
from samba.ndr import ndr_unpack
from samba.param import LoadParm
from samba.samdb import SamDB
from samba.sd_utils import SDUtils

# role, login, given name, family name, title, department. Roles are unique except "employee".
PEOPLE = [
    ("administrator", "olena.admin", "Олена", "Коваленко", "IT administrator", "Information Technology"),
    ("help_desk", "liam.desk", "Liam", "O’Sullivan", "Help desk agent", "Information Technology"),
    ("employee_with_key", "taras.shevchuk", "Тарас", "Шевчук", "Field engineer", "Engineering"),
    ("employee_without_key", "anna.mueller", "Anna", "Müller", "Accountant", "Finance"),
    ("locked", "jose.nunez", "José", "Núñez", "Sales manager", "Sales"),
    ("disabled", "ingrid.aakerlund", "Ingrid", "Åkerlund", "Consultant", "Sales"),
    ("must_change", "mykola.lysenko", "Микола", "Лисенко", "Technician", "Production"),
    ("expired", "priya.raghunathan", "Priya", "Raghunathan", "Contractor", "Engineering"),
    ("protected", "viktor.root", "Viktor", "Horváth", "Domain administrator", "Information Technology"),
    ("employee", "sean.obrien", "Seán", "O'Brien", "Warehouse lead", "Logistics"),
    ("employee", "zofia.wozniak", "Zofia", "Woźniak", "Buyer", "Purchasing"),
    ("employee", "yuki.tanaka", "由紀", "田中", "Interpreter", "Sales"),
    ("employee", "li.wei", "伟", "李", "Quality engineer", "Production"),
    ("employee", "fatima.alzahra", "فاطمة", "الزهراء", "Lawyer", "Legal"),
    ("employee", "bjorn.aegir", "Björn", "Ægirsson", "Fleet manager", "Logistics"),
    ("employee", "francois.lefevre", "François", "Lefèvre", "Chef", "Facilities"),
    ("employee", "nguyen.van.anh", "Văn Anh", "Nguyễn", "Designer", "Marketing"),
    ("employee", "ahmet.yilmaz", "Ahmet", "Yılmaz", "Machinist", "Production"),
    ("auditor", "marta.silva", "Marta", "da Silva e Souza", "Controller", "Finance"),
    ("employee", "kwame.mensah", "Kwame", "Mensah", "Nurse", "Health and Safety"),
    ("employee", "dmytro.bondar", "Дмитро", "Бондар", "Analyst", "Finance"),
    ("employee", "iryna.savchuk", "Ірина", "Савчук", "Recruiter", "Human Resources"),
    ("key_officer", "jurgen.grosz", "Jürgen", "Groß", "Key officer", "Facilities"),
    ("employee", "aoife.nidhomhnaill", "Aoife", "Ní Dhomhnaill", "Writer", "Marketing"),
    ("employee", "sam.comma", "Sam", "Comma, Jr.", "Courier", "Logistics"),
]

USER_CLASS = "bf967aba-0de6-11d0-a285-00aa003049e2"
RESET_PASSWORD = "00299570-246d-11d0-a768-00aa006e0529"
PWD_LAST_SET = "bf967a0a-0de6-11d0-a285-00aa003049e2"
LOCKOUT_TIME = "28630ebf-41d5-11d1-a9c1-0000f80367c1"
MINUTE = 600_000_000  # in 100 ns ticks
COMPLEX = 1           # pwdProperties: DOMAIN_PASSWORD_COMPLEX


def password():
    """Random, and of three character classes whatever the dice say."""
    return "Kf-" + secrets.token_hex(4) + "-" + secrets.token_hex(4)


def quoted(text):
    return ('"' + text + '"').encode("utf-16-le")


def escape(value):
    """A value inside a DN (RFC 4514)."""
    return "".join("\\" + c if c in ',+"\\<>;=#' else c for c in value)


class Domain:
    def __init__(self, tree):
        self.lp = LoadParm()
        self.lp.load(f"{tree}/etc/smb.conf")
        self.db = SamDB(url=f"{tree}/private/sam.ldb", session_info=system_session(self.lp), lp=self.lp)
        self.base = str(self.db.domain_dn())
        self.realm = self.lp.get("realm").lower()

    def add(self, dn, **attributes):
        self.db.add({"dn": dn, **attributes})
        return dn

    def replace(self, dn, **attributes):
        message = ldb.Message(ldb.Dn(self.db, dn))
        for name, value in attributes.items():
            message[name] = ldb.MessageElement(str(value), ldb.FLAG_MOD_REPLACE, name)
        self.db.modify(message)

    def add_member(self, group, member):
        message = ldb.Message(ldb.Dn(self.db, group))
        message["member"] = ldb.MessageElement(member, ldb.FLAG_MOD_ADD, "member")
        self.db.modify(message)

    def read(self, dn, *names):
        return self.db.search(dn, ldb.SCOPE_BASE, attrs=list(names))[0]

    def guid(self, dn):
        return str(ndr_unpack(misc.GUID, self.read(dn, "objectGUID")["objectGUID"][0]))

    def policy(self):
        self.replace(self.base, minPwdLength=10, pwdProperties=COMPLEX, minPwdAge=0, maxPwdAge=-(2**63), pwdHistoryLength=3,
                     lockoutThreshold=5, lockoutDuration=-30 * MINUTE, lockOutObservationWindow=-30 * MINUTE)

    def delegate(self, ou, account):
        """Reset, must-change and unlock for the people of one OU, and nothing else."""
        sid = self.db.schema_format_value("objectSid", self.read(account, "objectSid")["objectSid"][0]).decode()
        descriptor = SDUtils(self.db)
        for ace in (f"(OA;CIIO;CR;{RESET_PASSWORD};{USER_CLASS};{sid})",
                    f"(OA;CIIO;RPWP;{PWD_LAST_SET};{USER_CLASS};{sid})",
                    f"(OA;CIIO;RPWP;{LOCKOUT_TIME};{USER_CLASS};{sid})"):
            descriptor.dacl_add_ace(ou, ace)


def populate(domain):
    people_ou = domain.add(f"OU=People,{domain.base}", objectClass="organizationalUnit")
    group_ou = domain.add(f"OU=Groups,{domain.base}", objectClass="organizationalUnit")
    service_ou = domain.add(f"OU=Service Accounts,{domain.base}", objectClass="organizationalUnit")

    service_password = password()
    service = domain.add(f"CN=svc-keyferry,{service_ou}", objectClass="user", sAMAccountName="svc-keyferry",
                         userPrincipalName=f"svc-keyferry@{domain.realm}", description="Resets passwords for Keyferry in OU=People",
                         unicodePwd=quoted(service_password), userAccountControl="66048")
    domain.delegate(people_ou, service)

    groups = {}
    for name in ("Keyferry Administrators", "Keyferry Help Desk", "Keyferry Key Officers", "Keyferry Auditors"):
        groups[name] = domain.add(f"CN={name},{group_ou}", objectClass="group", sAMAccountName=name)

    facts = []
    for number, (role, login, given, family, title, department) in enumerate(PEOPLE, start=1):
        secret = password()
        display = f"{given} {family}"
        dn = domain.add(f"CN={escape(display)},{people_ou}", objectClass="user", sAMAccountName=login, givenName=given, sn=family,
                        displayName=display, userPrincipalName=f"{login}@{domain.realm}", mail=f"{login}@{domain.realm}",
                        telephoneNumber=f"+380 44 555 {number:04d}", title=title, department=department, employeeID=f"E{1000 + number}",
                        unicodePwd=quoted(secret), userAccountControl="512")
        if role == "administrator":
            domain.add_member(groups["Keyferry Administrators"], dn)
        elif role == "help_desk":
            domain.add_member(groups["Keyferry Help Desk"], dn)
        elif role == "key_officer":
            domain.add_member(groups["Keyferry Key Officers"], dn)
        elif role == "auditor":
            domain.add_member(groups["Keyferry Auditors"], dn)
        elif role == "protected":
            domain.add_member(f"CN=Domain Admins,CN=Users,{domain.base}", dn)
        elif role == "disabled":
            domain.replace(dn, userAccountControl=514)
        elif role == "must_change":
            domain.replace(dn, pwdLastSet=0)
        elif role == "expired":
            domain.replace(dn, accountExpires=132_000_000_000_000_000)  # 18 April 2019
        guid = domain.guid(dn)
        facts.append({"role": role, "login": login, "upn": f"{login}@{domain.realm}", "display_name": display, "dn": dn,
                      "password": secret, "guid": guid, "id": uuid.UUID(guid).bytes_le.hex(), "employee_id": f"E{1000 + number}"})

    return {"people_dn": people_ou, "groups_dn": group_ou, "service_login": "svc-keyferry", "service_dn": service,
            "service_upn": f"svc-keyferry@{domain.realm}", "service_password": service_password,
            "administrators_group": groups["Keyferry Administrators"], "help_desk_group": groups["Keyferry Help Desk"],
            "key_officers_group": groups["Keyferry Key Officers"], "auditors_group": groups["Keyferry Auditors"], "people": facts}


def main():
    domain = Domain(sys.argv[1])
    domain.db.transaction_start()
    domain.policy()
    facts = populate(domain)
    domain.db.transaction_commit()
    admin = {"base_dn": domain.base, "domain_admin_upn": f"Administrator@{domain.realm}", "domain_admin_password": sys.stdin.readline().strip()}
    json.dump({**admin, **facts}, sys.stdout, ensure_ascii=False, indent=1)


main()
