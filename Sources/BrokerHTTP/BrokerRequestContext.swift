import Broker
import Hummingbird
import Logging
import NIOCore
import SPIFFE

/// What belongs to one request: its trace id above all.
struct BrokerRequestContext: RequestContext {
    var coreContext: CoreRequestContextStorage
    let trace = TraceID()
    /// That of the connection.
    let eventLoop: any EventLoop
    /// Who is at the other end of the connection.
    let peer: ClientAddress
    /// For whom the request counts: the peer, or where that is a trusted proxy, whoever it forwards for.
    var client: ClientAddress
    /// Whom the handshake proved to be at the other end; nil over plain HTTP, and where no certificate was sent.
    var peerIdentity: PeerIdentity?
    /// The process at the other end of a Unix socket; nil on other listeners.
    let socketPeer: SocketPeer?

    /// Who sends it.
    var connection: ConnectionPeer { ConnectionPeer(address: peer, identity: peerIdentity) }

    init(source: ApplicationRequestContextSource) {
        coreContext = CoreRequestContextStorage(source: source)
        eventLoop = source.channel.eventLoop
        peer = source.channel.remoteAddress.flatMap { ClientAddress($0) } ?? .unknown
        client = peer
        peerIdentity = ConnectionIdentity.current?.peer
        socketPeer = SocketPeer.current
    }
}
