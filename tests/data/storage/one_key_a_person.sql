BEGIN TRANSACTION;
CREATE TABLE api_requests (
  principal TEXT NOT NULL, key_hash TEXT NOT NULL, request_hash TEXT NOT NULL,
  begun BIGINT NOT NULL, status BIGINT NOT NULL, content_type TEXT NOT NULL,
  sealed TEXT NOT NULL, PRIMARY KEY (principal, key_hash));
CREATE TABLE api_tokens (
  number INTEGER PRIMARY KEY AUTOINCREMENT, token_id TEXT NOT NULL UNIQUE, name TEXT NOT NULL, token_hash TEXT NOT NULL UNIQUE,
  scopes TEXT NOT NULL, owner_id TEXT NOT NULL, creator TEXT NOT NULL, created BIGINT NOT NULL,
  expires BIGINT NOT NULL, last_used BIGINT NOT NULL, last_address TEXT NOT NULL,
  revoked BIGINT NOT NULL, revoked_by TEXT NOT NULL);
CREATE TABLE audit (
  number BIGINT NOT NULL PRIMARY KEY, time BIGINT NOT NULL, actor TEXT NOT NULL,
  action TEXT NOT NULL, target TEXT NOT NULL, outcome TEXT NOT NULL, detail TEXT NOT NULL,
  address TEXT NOT NULL, previous TEXT NOT NULL, hash TEXT NOT NULL);
INSERT INTO "audit" VALUES(1,1800000000000,'workstation desk-1','workstation.register','desk-1','ok','f39d 92fb 2e3c d93b 5360 5698 3901 fd9c 074c a3d3 13c1 0944 e996 d6a3 f0b8 4392','192.0.2.7','0000000000000000000000000000000000000000000000000000000000000000','a31090a76fe16b8ed12c15b72233fbdce30c22ff55c1eb3255af62aa35171f0c');
INSERT INTO "audit" VALUES(2,1800000000000,'boss','workstation.approve','desk-1','ok','f39d 92fb 2e3c d93b 5360 5698 3901 fd9c 074c a3d3 13c1 0944 e996 d6a3 f0b8 4392','192.0.2.1','a31090a76fe16b8ed12c15b72233fbdce30c22ff55c1eb3255af62aa35171f0c','af0cbd3989375a496559a5d03f3347b4db9eabdb1b9f24d92410bb93c879b728');
INSERT INTO "audit" VALUES(3,1800000000000,'boss','key.enrol','907a07243e427faa358eb09a8e10537c','ok','Begun for alice at desk-1.','192.0.2.1','af0cbd3989375a496559a5d03f3347b4db9eabdb1b9f24d92410bb93c879b728','1b7fefd4629f4f5f5e528a92ad06c76435e3cf8b587354c10ef66715257f1b01');
INSERT INTO "audit" VALUES(4,1800000000000,'workstation desk-1','key.enrol','907a07243e427faa358eb09a8e10537c','ok','The key proved itself; granted.','192.0.2.7','1b7fefd4629f4f5f5e528a92ad06c76435e3cf8b587354c10ef66715257f1b01','e514148ff33922286ff547182b83027711aad55dee779ec3cd2550f035d05b62');
INSERT INTO "audit" VALUES(5,1800000000000,'workstation desk-1','key.enrol','907a07243e427faa358eb09a8e10537c','ok','Enrolled for alice.','192.0.2.7','e514148ff33922286ff547182b83027711aad55dee779ec3cd2550f035d05b62','c25f43e58dca7e5bac2c96e0ba89214f6a82c7698678d26705370e68356247ab');
INSERT INTO "audit" VALUES(6,1800000000000,'boss','password.attempt','alice','ok','forgotten','192.0.2.1','c25f43e58dca7e5bac2c96e0ba89214f6a82c7698678d26705370e68356247ab','815df22cf014053e02f03b4207f2382e61368010cdca419cbc62c91cbd1cdb46');
INSERT INTO "audit" VALUES(7,1800000000000,'boss','password.set','alice','ok','forgotten','192.0.2.1','815df22cf014053e02f03b4207f2382e61368010cdca419cbc62c91cbd1cdb46','bb29c983a2d12045def8db2fc29bb2a8c2ba28c87097858aced8110a925bd7e8');
INSERT INTO "audit" VALUES(8,1800000000000,'workstation desk-1','job.delivered','alice','ok','The password is on the key. Key 907a07243e427faa358eb09a8e10537c, number 1.','192.0.2.7','bb29c983a2d12045def8db2fc29bb2a8c2ba28c87097858aced8110a925bd7e8','de87592a1504a084a8b834c8cd9a228f4955de2427c2f84c83ad40ca12b18894');
INSERT INTO "audit" VALUES(9,1800000000000,'boss','password.attempt','alice','ok','forgotten','192.0.2.1','de87592a1504a084a8b834c8cd9a228f4955de2427c2f84c83ad40ca12b18894','3b86fa0a07a4677413af8b46a5fce5e0b697b549acfc6c5a0228093a2a486b7e');
INSERT INTO "audit" VALUES(10,1800000000000,'boss','password.set','alice','policy','The directory refused it: the password is too short.','192.0.2.1','3b86fa0a07a4677413af8b46a5fce5e0b697b549acfc6c5a0228093a2a486b7e','c3a75c479408bcefe0143a676f2d3e3a4bb0522455e27a41ad0ba5a5b9fe8382');
INSERT INTO "audit" VALUES(11,1800000000000,'boss','password.attempt','alice','ok','forgotten','192.0.2.1','c3a75c479408bcefe0143a676f2d3e3a4bb0522455e27a41ad0ba5a5b9fe8382','b5ed3e3f56569ac25a1c91e6ad90e1bd7818e097022b76dcd3eea960820862ad');
INSERT INTO "audit" VALUES(12,1800000000000,'boss','password.set','alice','ok','forgotten','192.0.2.1','b5ed3e3f56569ac25a1c91e6ad90e1bd7818e097022b76dcd3eea960820862ad','796df393e8a646cd079400f952f8de8bb85adfecac77f0eb49fa0f782f544fd9');
CREATE TABLE audit_cuts (
  number BIGINT NOT NULL PRIMARY KEY, hash TEXT NOT NULL, time BIGINT NOT NULL,
  key_id TEXT NOT NULL, signature TEXT NOT NULL);
CREATE TABLE audit_head (
  id BIGINT NOT NULL PRIMARY KEY, number BIGINT NOT NULL, hash TEXT NOT NULL);
INSERT INTO "audit_head" VALUES(1,12,'796df393e8a646cd079400f952f8de8bb85adfecac77f0eb49fa0f782f544fd9');
CREATE TABLE change_sources (
  number INTEGER PRIMARY KEY AUTOINCREMENT, change_id TEXT NOT NULL, name TEXT NOT NULL, account_id TEXT NOT NULL,
  login TEXT NOT NULL, dn TEXT NOT NULL, state TEXT NOT NULL, error TEXT NOT NULL,
  error_code TEXT NOT NULL, server TEXT NOT NULL, password_last_set BIGINT NOT NULL,
  password_version BIGINT NOT NULL, server_time BIGINT NOT NULL, attempted BIGINT NOT NULL,
  confirmed BIGINT NOT NULL, UNIQUE (change_id, name));
CREATE TABLE changes (
  number INTEGER PRIMARY KEY AUTOINCREMENT, change_id TEXT NOT NULL UNIQUE, account_id TEXT NOT NULL, login TEXT NOT NULL,
  actor_id TEXT NOT NULL, actor_login TEXT NOT NULL, address TEXT NOT NULL,
  idempotency_key TEXT NOT NULL, request_hash TEXT NOT NULL, reason TEXT NOT NULL,
  generated BIGINT NOT NULL, must_change BIGINT NOT NULL, unlock_account BIGINT NOT NULL,
  state TEXT NOT NULL, error TEXT NOT NULL, error_code TEXT NOT NULL, server TEXT NOT NULL,
  password_last_set BIGINT NOT NULL, created BIGINT NOT NULL, attempted BIGINT NOT NULL,
  confirmed BIGINT NOT NULL, device_id TEXT NOT NULL, job_id TEXT NOT NULL, password_version BIGINT NOT NULL DEFAULT 0, server_time BIGINT NOT NULL DEFAULT 0, history_salt TEXT NOT NULL DEFAULT '', history_hash TEXT NOT NULL DEFAULT '', mode TEXT NOT NULL DEFAULT 'now', prepared BIGINT NOT NULL DEFAULT 0, expires BIGINT NOT NULL DEFAULT 0, doubt BIGINT NOT NULL DEFAULT 0, holder TEXT NOT NULL DEFAULT '', owner TEXT NOT NULL DEFAULT '',
  UNIQUE (actor_id, idempotency_key));
INSERT INTO "changes" VALUES(1,'b6b5aca2e2ba3d344b7afa06a92b2d70','dd115405f8f29510e31a22af58bec40d','alice','c376b4f3ed8e789b0a953ce4a637b024','boss','192.0.2.1','request-0001','9406b93c69230ba28bf89539b6248d662bc1fea24f4c75753727d2ebbb747c0f','forgotten',1,0,1,'done','','internal','ldaps://dc1.corp.example',134000000000000002,1800000000000,1800000000000,1800000000000,'907a07243e427faa358eb09a8e10537c','fd6e919b889e5ad7d405d97809cbfa5c',1,1800000000,'','','now',0,0,0,'','');
INSERT INTO "changes" VALUES(2,'9a9c6de642cf1aa9d64bab85ec38c31e','dd115405f8f29510e31a22af58bec40d','alice','c376b4f3ed8e789b0a953ce4a637b024','boss','192.0.2.1','request-0002','9406b93c69230ba28bf89539b6248d662bc1fea24f4c75753727d2ebbb747c0f','forgotten',1,0,1,'failed','The directory refused it: the password is too short.','policy','ldaps://dc1.corp.example',134000000000000003,1800000000000,1800000000000,0,'907a07243e427faa358eb09a8e10537c','86518524a755acc25f0ebcf895773655',2,1800000000,'','','now',0,0,0,'','');
INSERT INTO "changes" VALUES(3,'63ced16e26fe37c08b87c272e65b15ea','dd115405f8f29510e31a22af58bec40d','alice','c376b4f3ed8e789b0a953ce4a637b024','boss','192.0.2.1','request-0003','9406b93c69230ba28bf89539b6248d662bc1fea24f4c75753727d2ebbb747c0f','forgotten',1,0,1,'confirmed','','internal','ldaps://dc1.corp.example',134000000000000003,1800000000000,1800000000000,1800000000000,'907a07243e427faa358eb09a8e10537c','dd08b13d804255c9ff869e4ae464a9dd',2,1800000000,'','','now',0,0,0,'','');
CREATE TABLE device_keys (
  device_id TEXT NOT NULL PRIMARY KEY,
  enrolment_id TEXT NOT NULL REFERENCES enrolments (enrolment_id),
  account_id TEXT NOT NULL, login TEXT NOT NULL, display_name TEXT NOT NULL,
  state TEXT NOT NULL, simulator BIGINT NOT NULL, sig_pub TEXT NOT NULL, record TEXT NOT NULL,
  next_seq BIGINT NOT NULL, firmware BIGINT NOT NULL, pin_set BIGINT NOT NULL,
  epoch BIGINT NOT NULL, recipient_pub TEXT NOT NULL, last_seq BIGINT NOT NULL,
  receipt_ctr BIGINT NOT NULL, receipt_hash TEXT NOT NULL, enrolled BIGINT NOT NULL,
  last_seen BIGINT NOT NULL, alarm TEXT NOT NULL, held BIGINT NOT NULL DEFAULT 0, state_reason TEXT NOT NULL DEFAULT '', wiped BIGINT NOT NULL DEFAULT 0, restored BIGINT NOT NULL DEFAULT 0, lost_until BIGINT NOT NULL DEFAULT 0, note TEXT NOT NULL DEFAULT '');
INSERT INTO "device_keys" VALUES('907a07243e427faa358eb09a8e10537c','2d79baadce75a1427add50ba5129dc5a','dd115405f8f29510e31a22af58bec40d','alice','Person alice','active',0,'04bf20cf09e37f14fef3d3d811ec3984925663d59eedf5cb32f9b54fb769ad8b6d8a8ab623fbb042bbfa5dc578348eb21bced37df63efb7604853891a2ab25fdb9','AQAAAAAAAAEEJjvWfdUSTuIrrcu/Jgb70hUHz9Y8o5s1pZmNPh8K55CL3ArMsMbLHOe0cF39r4aIJGtkQmAzU7RdwX3XhLYEBwAAAABrSdH2AAAAAKbknACxmRcBw5k4sCOPnFijYRRHHaDiy91xHY1qkvygjbRfYd7TVqWCwUfnTDPuv6QxM4cvZunnUClryfxHMEJNLrZVPTP085RdPpcBAAAAkHoHJD5Cf6o1jrCajhBTfAS/IM8J438U/vPT2BHsOYSSVmPVnu31yzL5tU+3aa2LbYqKtiP7sEK7+l3FeDSOshvO0332Pvt2BIU4kaKrJf25hyodoegC8wZENH/FEm6Lc16r8dqQjJytC+6R58SlAicAAAABoMkKFNTGqwYX5cIy2jfDvnji2Ppt2JKjgFqBhJPzTiYxf0+cJZJ29lPBVhQjWRuiuA28PQkjSaxPbPNRZf1L4AABAAAAAAABAAAAAKLLRZMfGXTgvX9vnYozZU8/vSesyRnFXpNyEyqtDdseTa9HznMyPO5GxihNPVlf0dI3GxHu6eTsi+l3FaNtQa7fZG6Ch698+39E0gg1fC1i/scT9H2bWVjN8lKXUHkqnUCH7fARMpNV8Mwcud4ftCcMK7l8pbDu0Dk2UPHV/D01AQAAAJB6ByQ+Qn+qNY6wmo4QU3zdEVQF+PKVEOMaIq9YvsQNBggAAQAAAAD4r8v3iJe555qQhEEijaTxyDHIQF4VolMNvRL8hPOVE8nDjI5ytp3UiS4Xk3OLqDAFetV6XSRLbke2abP/O1RQgNrwrFtpuYo7eOxQe9iGT4grDaX2RI+FyaCSnU1TpmV4mPDA7VWTwOkT6AgIWYqhOKu1slHTRQXg6CARG3kBWHiGXqcXyMNtDfOPVfZ1j+pexwL7w6vSNJt4jc6NQOxT',4,65536,0,2,'864a5847cd82259f4420b9db889e3c135a3a1241de1430de08b0907b80f8845c',1,2,'30ecfff4067776cde745798480e490f1c5e5f040ca7957f2e5754c6e777c8707',1800000000000,1800000000000,'',0,'',0,0,0,'');
CREATE TABLE enrolments (
  number INTEGER PRIMARY KEY AUTOINCREMENT, enrolment_id TEXT NOT NULL UNIQUE, device_id TEXT NOT NULL,
  account_id TEXT NOT NULL, login TEXT NOT NULL, display_name TEXT NOT NULL,
  workstation_id TEXT NOT NULL, state TEXT NOT NULL, error TEXT NOT NULL,
  actor_login TEXT NOT NULL, enrol_cert TEXT NOT NULL, begin_body TEXT NOT NULL,
  activation_hash TEXT NOT NULL, statement TEXT NOT NULL, grant_bytes TEXT NOT NULL,
  simulator BIGINT NOT NULL, created BIGINT NOT NULL, expires BIGINT NOT NULL);
INSERT INTO "enrolments" VALUES(1,'2d79baadce75a1427add50ba5129dc5a','907a07243e427faa358eb09a8e10537c','dd115405f8f29510e31a22af58bec40d','alice','Person alice','bcf14052886e4173d46d98cabc5a85f0','done','','boss','AQQAALzxQFKIbkFz1G2YyrxahfABAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAYSbIswmcIkgAAAAAGtJ0NQAAAAAa0nUWAAAAAAzP8GFSpHYtgHxEA4gSd1n8LP27DswopKCTKd+kaj1VTyV9CSbBXWpEQdT0ALZuTOys+U8iRwidQpxE6HzIAwa','+K/L94iXueeakIRBIo2k8cgxyEBeFaJTDb0S/ITzlRMEYRCW89V0thDyYnPmQyyth5dicVoLViu+w9A+2hX20WSsKerTZw6nD8asP7oaBw0VNHZAJ711huAcEkYnnuD9hgEAAAAAAAABBCY71n3VEk7iK63LvyYG+9IVB8/WPKObNaWZjT4fCueQi9wKzLDGyxzntHBd/a+GiCRrZEJgM1O0XcF914S2BAcAAAAAa0nR9gAAAACm5JwAsZkXAcOZOLAjj5xYo2EURx2g4svdcR2NapL8oI20X2He01algsFH50wz7r+kMTOHL2bp51Apa8n8RzBCTS62VT0z9POUXT6X','80daf0ac5b69b98a3b78ec507bd8864f882b0da5f6448f85c9a0929d4d53a665','AQAAAJB6ByQ+Qn+qNY6wmo4QU3wEvyDPCeN/FP7z09gR7DmEklZj1Z7t9csy+bVPt2mti22KirYj+7BCu/pdxXg0jrIbztN99j77dgSFOJGiqyX9uYcqHaHoAvMGRDR/xRJui3Neq/HakIycrQvukefEpQInAAAAAaDJChTUxqsGF+XCMto3w7544tj6bdiSo4BagYST804mMX9PnCWSdvZTwVYUI1kborgNvD0JI0msT2zzUWX9S+AAAQAAAAAAAQAAAACiy0WTHxl04L1/b52KM2VPP70nrMkZxV6TchMqrQ3bHk2vR85zMjzuRsYoTT1ZX9HSNxsR7unk7IvpdxWjbUGu32RugoevfPt/RNIINXwtYv7HE/R9m1lYzfJSl1B5Kp1Ah+3wETKTVfDMHLneH7QnDCu5fKWw7tA5NlDx1fw9NQ==','AQAAAJB6ByQ+Qn+qNY6wmo4QU3zdEVQF+PKVEOMaIq9YvsQNBggAAQAAAAD4r8v3iJe555qQhEEijaTxyDHIQF4VolMNvRL8hPOVE8nDjI5ytp3UiS4Xk3OLqDAFetV6XSRLbke2abP/O1RQgNrwrFtpuYo7eOxQe9iGT4grDaX2RI+FyaCSnU1TpmV4mPDA7VWTwOkT6AgIWYqhOKu1slHTRQXg6CARG3kBWHiGXqcXyMNtDfOPVfZ1j+pexwL7w6vSNJt4jc6NQOxT',0,1800000000000,1800000600000);
CREATE TABLE events (
  number INTEGER PRIMARY KEY AUTOINCREMENT, node_id TEXT NOT NULL, topic TEXT NOT NULL, name TEXT NOT NULL,
  data TEXT NOT NULL, created BIGINT NOT NULL);
CREATE TABLE failures (
  counter TEXT NOT NULL PRIMARY KEY, failures BIGINT NOT NULL, first BIGINT NOT NULL,
  blocked_until BIGINT NOT NULL, forget_after BIGINT NOT NULL);
CREATE TABLE jobs (
  number INTEGER PRIMARY KEY AUTOINCREMENT, job_id TEXT NOT NULL UNIQUE, device_id TEXT NOT NULL,
  enrolment_id TEXT NOT NULL REFERENCES enrolments (enrolment_id), account_id TEXT NOT NULL,
  change_id TEXT REFERENCES changes (change_id), seq BIGINT NOT NULL, base_seq BIGINT NOT NULL,
  epoch BIGINT NOT NULL, sealed TEXT NOT NULL, hash TEXT NOT NULL, state TEXT NOT NULL,
  last_error TEXT NOT NULL, created BIGINT NOT NULL, queued BIGINT NOT NULL,
  handed BIGINT NOT NULL, spooled BIGINT NOT NULL, delivered BIGINT NOT NULL,
  used BIGINT NOT NULL, workstation_id TEXT NOT NULL, receipt_ctr BIGINT NOT NULL,
  receipt_hash TEXT NOT NULL, type TEXT NOT NULL DEFAULT 'set', creator TEXT NOT NULL DEFAULT '', attempts BIGINT NOT NULL DEFAULT 0, next_try BIGINT NOT NULL DEFAULT 0, expires BIGINT NOT NULL DEFAULT 0, UNIQUE (enrolment_id, seq));
INSERT INTO "jobs" VALUES(1,'fd6e919b889e5ad7d405d97809cbfa5c','907a07243e427faa358eb09a8e10537c','2d79baadce75a1427add50ba5129dc5a','dd115405f8f29510e31a22af58bec40d','b6b5aca2e2ba3d344b7afa06a92b2d70',1,0,1,'','e5bd93c6fdaa1f08f34e2a8c0afedc2c495c93e2ac8ac722ce4aae1ad5f614cc','delivered','',1800000000000,1800000000000,1800000000000,0,1800000000000,0,'bcf14052886e4173d46d98cabc5a85f0',2,'30ecfff4067776cde745798480e490f1c5e5f040ca7957f2e5754c6e777c8707','set','boss',1,1800000060000,0);
INSERT INTO "jobs" VALUES(2,'86518524a755acc25f0ebcf895773655','907a07243e427faa358eb09a8e10537c','2d79baadce75a1427add50ba5129dc5a','dd115405f8f29510e31a22af58bec40d','9a9c6de642cf1aa9d64bab85ec38c31e',2,1,2,'','4ca6bd06eca01fa0d4345bfd7984521356d4b562f45bc9757294da9bd6b95eaa','cancelled','',1800000000000,0,0,0,0,0,'',0,'','set','boss',0,0,0);
INSERT INTO "jobs" VALUES(3,'dd08b13d804255c9ff869e4ae464a9dd','907a07243e427faa358eb09a8e10537c','2d79baadce75a1427add50ba5129dc5a','dd115405f8f29510e31a22af58bec40d','63ced16e26fe37c08b87c272e65b15ea',3,1,2,'S0ZKMQEBAQCQegckPkJ/qjWOsJqOEFN83RFUBfjylRDjGiKvWL7EDYSbIswmcIkgAAAAAgAAAAAAAAADAAAAAAAAAAEAAAAAa0nSAN0IsT2AQlXJ/4aeSuRkqd0AkAAAl4EsfqsJzarRcN6QlMKAQg4QcUy7tjMFQDJiIWUzT2fHKmdsOvaNQef1u2uIoBa7tz9wERmedTGxe+JMrb4Yfhwd5JNZSkZR3oI2oNU86O1dhKlcDm+yVpErOOJ8OQFQR/Lcxumjfl15gkoVHJDTqbS09cw1pPr+n5LPwuOs8QKvUxjyYz+d1/9t5lVgowza5c9yRLan/IyPjJv0yGwsuZ2+y4r6lxMJ+3JZ+Qxa0tPK3GWPmrLfwRbTUanK6+tvkEsNejCgBeHtbkX+ppQeAX3a8GgBPfIRYsWMNLHdRXWI/Hx3yo9XcCC70LukaPW+','69eedcb080e5636f51dff49a43535068744fade3048a5e79e020af6c7659f68d','ready','',1800000000000,1800000000000,1800000000000,0,0,0,'',0,'','set','boss',1,1800000060000,0);
CREATE TABLE leases (
  name TEXT NOT NULL PRIMARY KEY, holder TEXT NOT NULL, held_until BIGINT NOT NULL,
  position BIGINT NOT NULL);
CREATE TABLE mails (
  number INTEGER PRIMARY KEY AUTOINCREMENT, mark TEXT NOT NULL UNIQUE, recipient TEXT NOT NULL, subject TEXT NOT NULL,
  body TEXT NOT NULL, state TEXT NOT NULL, attempts BIGINT NOT NULL, created BIGINT NOT NULL,
  next_try BIGINT NOT NULL, sent BIGINT NOT NULL, last_error TEXT NOT NULL);
CREATE TABLE migrations (number BIGINT NOT NULL PRIMARY KEY, name TEXT NOT NULL);
INSERT INTO "migrations" VALUES(1,'first schema');
INSERT INTO "migrations" VALUES(2,'evidence and history');
INSERT INTO "migrations" VALUES(3,'login agents that come later');
INSERT INTO "migrations" VALUES(4,'changes at delivery');
INSERT INTO "migrations" VALUES(5,'several servers');
INSERT INTO "migrations" VALUES(6,'workstations of a domain, new certificates, audit retention');
INSERT INTO "migrations" VALUES(7,'life of keys');
INSERT INTO "migrations" VALUES(8,'restores, rotation, mail');
INSERT INTO "migrations" VALUES(9,'tokens of the API, repeated requests');
INSERT INTO "migrations" VALUES(10,'several password sources');
CREATE TABLE nodes (
  node_id TEXT NOT NULL PRIMARY KEY, name TEXT NOT NULL, shared TEXT NOT NULL,
  alive_until BIGINT NOT NULL);
CREATE TABLE organisation (
  id BIGINT NOT NULL PRIMARY KEY, root_pub TEXT NOT NULL, audit_pub TEXT NOT NULL DEFAULT '');
CREATE TABLE policies (
  number INTEGER PRIMARY KEY AUTOINCREMENT, policy_id TEXT NOT NULL UNIQUE, name TEXT NOT NULL UNIQUE, group_dn TEXT NOT NULL,
  max_age_days BIGINT NOT NULL, window_from BIGINT NOT NULL, window_until BIGINT NOT NULL,
  notify_days TEXT NOT NULL, enabled BIGINT NOT NULL, created BIGINT NOT NULL,
  last_run BIGINT NOT NULL, last_result TEXT NOT NULL);
CREATE TABLE presence (
  workstation_id TEXT NOT NULL PRIMARY KEY, node_id TEXT NOT NULL, seat TEXT NOT NULL);
CREATE TABLE receipts (
  number INTEGER PRIMARY KEY AUTOINCREMENT, enrolment_id TEXT NOT NULL REFERENCES enrolments (enrolment_id),
  receipt_ctr BIGINT NOT NULL, device_id TEXT NOT NULL, job_id TEXT NOT NULL,
  hash TEXT NOT NULL, receipt TEXT NOT NULL, workstation_id TEXT NOT NULL,
  received BIGINT NOT NULL, UNIQUE (enrolment_id, receipt_ctr));
INSERT INTO "receipts" VALUES(1,'2d79baadce75a1427add50ba5129dc5a',1,'907a07243e427faa358eb09a8e10537c','','8c2201644e240ec8fdd01f95ac0fa9b962868a5fb60dd5e634797f6d179bdd5a','S0ZSMQEAAACQegckPkJ/qjWOsJqOEFN83RFUBfjylRDjGiKvWL7EDQAAAAAAAAAAAAAAAAAAAABMsjjyMt1pAnxLaXNzUaBRqbDxMntloLvgMtL+4gXRJAAAAAAAAAABAAAAAaDJChTUxqsGF+XCMto3w7544tj6bdiSo4BagYST804mAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAQAAAAAAAVTgJ1Wco4FFmRN4NxxU/svOjN1L68g3r1G2431INfODDx+Vj1PC46iN+ola0/mNphJaOwBd+ivw6myynSHj5LA=','bcf14052886e4173d46d98cabc5a85f0',1800000000000);
INSERT INTO "receipts" VALUES(2,'2d79baadce75a1427add50ba5129dc5a',2,'907a07243e427faa358eb09a8e10537c','fd6e919b889e5ad7d405d97809cbfa5c','30ecfff4067776cde745798480e490f1c5e5f040ca7957f2e5754c6e777c8707','S0ZSMQEAAACQegckPkJ/qjWOsJqOEFN83RFUBfjylRDjGiKvWL7EDQAAAAAAAAABAAAAAAAAAADlvZPG/aofCPNOKowK/twsSVyT4qyKxyLOSq4a1fYUzAAAAAAAAAACAAAAAoZKWEfNgiWfRCC524iePBNaOhJB3hQw3giwkHuA+IRcjCIBZE4kDsj90B+VrA+puWKGil+2DdXmNHl/bReb3VoAAQAAAAAAAe6urWc/GoJZUgnp8IfIc5/yq4R//XpwpIq36p6rKP5mbQHfdcJlqujXnRThG1XPPH6/CiGqRnpN/mLPHUQzpy0=','bcf14052886e4173d46d98cabc5a85f0',1800000000000);
CREATE TABLE restores (
  number INTEGER PRIMARY KEY AUTOINCREMENT, time BIGINT NOT NULL, backup_time BIGINT NOT NULL, audit_number BIGINT NOT NULL);
CREATE TABLE sessions (
  token_hash TEXT NOT NULL PRIMARY KEY, actor_id TEXT NOT NULL, login TEXT NOT NULL,
  display_name TEXT NOT NULL, role BIGINT NOT NULL, csrf TEXT NOT NULL,
  created BIGINT NOT NULL, expires BIGINT NOT NULL, idle_until BIGINT NOT NULL);
CREATE TABLE workstations (
  number INTEGER PRIMARY KEY AUTOINCREMENT, workstation_id TEXT NOT NULL UNIQUE, name TEXT NOT NULL, os TEXT NOT NULL,
  version TEXT NOT NULL, fingerprint TEXT NOT NULL, state TEXT NOT NULL,
  address TEXT NOT NULL, csr_pem TEXT NOT NULL, deliver_noise_pub TEXT NOT NULL,
  login_noise_pub TEXT NOT NULL, poll_token_hash TEXT NOT NULL, created BIGINT NOT NULL,
  last_seen BIGINT NOT NULL, certificate_pem TEXT NOT NULL, certificate_sha256 TEXT NOT NULL,
  deliver_cert TEXT NOT NULL, login_cert TEXT NOT NULL, host_certs_end BIGINT NOT NULL, login_requested TEXT NOT NULL DEFAULT '', domain_name TEXT NOT NULL DEFAULT '', computer TEXT NOT NULL DEFAULT '', computer_id TEXT NOT NULL DEFAULT '', protocol BIGINT NOT NULL DEFAULT 1, next_pem TEXT NOT NULL DEFAULT '', next_sha256 TEXT NOT NULL DEFAULT '', next_fingerprint TEXT NOT NULL DEFAULT '', former_sha256 TEXT NOT NULL DEFAULT '', former_until BIGINT NOT NULL DEFAULT 0);
INSERT INTO "workstations" VALUES(1,'bcf14052886e4173d46d98cabc5a85f0','desk-1','Debian 12','1.0','f39d 92fb 2e3c d93b 5360 5698 3901 fd9c 074c a3d3 13c1 0944 e996 d6a3 f0b8 4392','approved','192.0.2.7','request of desk-1','0101010101010101010101010101010101010101010101010101010101010101','0202020202020202020202020202020202020202020202020202020202020202','42fd42f2b0f867a01f019ba137daf390521e02e2dce7710b6dfa58d0d460021d',1800000000000,1800000000000,'certificate of bcf14052886e4173d46d98cabc5a85f0','6b5d49105a90e09987a077ac69f22334a87cf06685b1ca0e177157d5dcec5b03','AQEAALzxQFKIbkFz1G2YyrxahfABAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAYSbIswmcIkgAAAAAGtJ0NQAAAAAbSsFgAAAAACUDlOysiOpT+bFgrnIUxRjG0ezZn2VvhxpI1xVf2Zr+AH6dabzHwgcvL2WRb7dXAzCkGKgLNhfugodrqftGFjs','AQIAALzxQFKIbkFz1G2YyrxahfACAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAoSbIswmcIkgAAAAAGtJ0NQAAAAAbSsFgAAAAACJkYAyVEF646e1M8RKZ5UdNBUqSTrYbfmpgrmif3TGXlxh8X7RLiBEE36q/8dgKiSQWcUhyOBn/w/65P/NgVtO',1831536000,'','','','',1,'','','','',0);
CREATE INDEX enrolments_open ON enrolments (expires)
  WHERE state IN ('waiting', 'granted');
CREATE INDEX device_keys_account ON device_keys (account_id);
CREATE UNIQUE INDEX changes_open ON changes (account_id)
  WHERE state IN ('intent', 'held', 'attempt', 'unknown');
CREATE INDEX changes_account ON changes (account_id, number);
CREATE UNIQUE INDEX jobs_hash ON jobs (enrolment_id, hash);
CREATE INDEX jobs_open ON jobs (device_id, seq) WHERE state IN ('ready', 'spooled');
CREATE INDEX jobs_unanswered ON jobs (enrolment_id, seq)
  WHERE handed > 0 AND receipt_ctr = 0 AND state <> 'refused';
CREATE UNIQUE INDEX workstations_certificate ON workstations (certificate_sha256)
  WHERE certificate_sha256 <> '';
CREATE INDEX workstations_pending ON workstations (created) WHERE state = 'pending';
CREATE INDEX workstations_address ON workstations (address, created);
CREATE INDEX sessions_idle ON sessions (idle_until);
CREATE INDEX failures_forget ON failures (forget_after);
CREATE INDEX changes_typed ON changes (account_id, number) WHERE history_hash <> '';
CREATE INDEX jobs_next_try ON jobs (next_try)
  WHERE state IN ('ready', 'spooled') AND next_try > 0;
CREATE INDEX jobs_change ON jobs (change_id);
CREATE INDEX device_keys_held ON device_keys (device_id) WHERE held <> 0;
CREATE INDEX jobs_queued ON jobs (queued) WHERE state = 'ready';
CREATE INDEX workstations_next ON workstations (next_sha256)
  WHERE next_sha256 <> '';
CREATE INDEX workstations_former ON workstations (former_sha256)
  WHERE former_sha256 <> '';
CREATE INDEX mails_due ON mails (next_try) WHERE state = 'queued';
CREATE UNIQUE INDEX api_tokens_name ON api_tokens (name) WHERE revoked = 0;
CREATE INDEX api_requests_begun ON api_requests (begun);
CREATE INDEX change_sources_open ON change_sources (number)
  WHERE state IN ('planned', 'attempt', 'unknown');
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('workstations',1);
INSERT INTO "sqlite_sequence" VALUES('enrolments',1);
INSERT INTO "sqlite_sequence" VALUES('receipts',2);
INSERT INTO "sqlite_sequence" VALUES('changes',3);
INSERT INTO "sqlite_sequence" VALUES('jobs',3);
COMMIT;
