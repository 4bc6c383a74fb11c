/** A TURN server on a host of the lab: coturn (Debian's package) with its own configuration and certificate. */

import { execFileSync } from 'node:child_process';
import { createHash, X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

/** The secret that coturn and porthole share (static-auth-secret). */
export const SECRET = 'between board and relay';

/** The name on the certificate. */
export const NAME = 'turn.lab';

/**
 * Starts coturn.
 * @param {import('./lab.mjs').Lab} lab
 * @param {import('./lab.mjs').Host} host
 * @param {string} near The host's address for clients, on port 3478 and, with TLS, 5349.
 * @param {string} far The host's address that relayed packets come from.
 * @returns {Promise<string[]>} Chromium arguments that make it trust the certificate.
 */
export async function turnServer(lab, host, near, far) {
  const [key, certificate] = [join(lab.directory, 'turn.key'), join(lab.directory, 'turn.crt')];
  execFileSync('openssl', [
    'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2',
    '-subj', `/CN=${NAME}`, '-addext', `subjectAltName=DNS:${NAME}`, '-keyout', key, '-out', certificate,
  ], { stdio: 'pipe' });
  const configuration = lab.file('turnserver.conf', `
listening-ip=${near}
relay-ip=${far}
listening-port=3478
tls-listening-port=5349
realm=lab
use-auth-secret
static-auth-secret=${SECRET}
cert=${certificate}
pkey=${key}
userdb=${join(lab.directory, 'turndb')}
pidfile=${join(lab.directory, 'turnserver.pid')}
log-file=stdout
verbose
no-cli
no-dtls
no-rfc5780

`);
  // Otherwise it writes its log in whole blocks.
  await lab.service(host, ['stdbuf', '-oL', 'turnserver', '-c', configuration], /UDP listener opened/);
  const { publicKey } = new X509Certificate(readFileSync(certificate));
  const pin = createHash('sha256').update(publicKey.export({ type: 'spki', format: 'der' })).digest('base64');
  return [`--ignore-certificate-errors-spki-list=${pin}`];
}
