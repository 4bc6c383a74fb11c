/** STUN and TURN servers of a peer connection. */

/**
 * Adds STUN and TURN servers, skipping those that the browser rejects so that they do not cost the others.
 * @param {RTCPeerConnection} peer
 * @param {RTCIceServer[]} servers
 */
export function addServers(peer, servers) {
  const configuration = peer.getConfiguration();
  const accepted = servers.filter((server) => {
    try {
      new RTCPeerConnection({ iceServers: [server] }).close();
      return true;
    } catch {
      return false;
    }
  });
  peer.setConfiguration({ ...configuration, iceServers: [...(configuration.iceServers ?? []), ...accepted] });
}
