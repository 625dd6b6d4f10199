import Broker

/// Who is at the other end of a connection, as far as the network and the handshake tell.
struct ConnectionPeer: Sendable {
    let address: ClientAddress
    /// Whom the handshake proved; nil over plain HTTP, and where no certificate was sent.
    let identity: PeerIdentity?
}
