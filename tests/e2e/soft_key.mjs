// A FIDO2 key and its browser in this process, so that both can lie: ES256, attestation "none".
import { createHash, generateKeyPairSync, randomBytes, sign } from 'node:crypto';

const sha256 = (data) => createHash('sha256').update(data).digest();

export class SoftKey {
  constructor(origin) {
    this.origin = origin;
    this.relyingParty = new URL(origin).hostname;
    this.id = randomBytes(32);
    this.counter = 1;
    this.pair = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  }

  clientData(type, challenge) { return Buffer.from(JSON.stringify({ type, challenge, origin: this.origin, crossOrigin: false })); }

  authenticatorData(flags, more = Buffer.alloc(0)) {
    const head = Buffer.alloc(5);
    head[0] = flags;
    head.writeUInt32BE(this.counter, 1);
    return Buffer.concat([sha256(this.relyingParty), head, more]);
  }

  /** "CLIENT_DATA.ATTESTATION_OBJECT" */
  create(challenge) {
    const { x, y } = this.pair.publicKey.export({ format: 'jwk' });
    const cose = Buffer.concat([Buffer.from('a5010203262001215820', 'hex'), Buffer.from(x, 'base64url'), Buffer.from('225820', 'hex'), Buffer.from(y, 'base64url')]);
    const data = this.authenticatorData(0x41, Buffer.concat([Buffer.alloc(16), Buffer.from([0, this.id.length]), this.id, cose]));
    const object = Buffer.concat([Buffer.from('a363666d74646e6f6e656761747453746d74a068617574684461746158', 'hex'), Buffer.from([data.length]), data]);
    return [this.clientData('webauthn.create', challenge), object].map((part) => part.toString('base64url')).join('.');
  }

  /** "ID.CLIENT_DATA.AUTHENTICATOR_DATA.SIGNATURE.USER_HANDLE" */
  assert(challenge) {
    this.counter += 1;
    const client = this.clientData('webauthn.get', challenge);
    const data = this.authenticatorData(0x01);
    const signature = sign('sha256', Buffer.concat([data, sha256(client)]), this.pair.privateKey);
    return [this.id, client, data, signature, Buffer.alloc(0)].map((part) => part.toString('base64url')).join('.');
  }
}
