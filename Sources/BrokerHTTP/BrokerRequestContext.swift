import Broker
import Hummingbird
import Logging
import SPIFFE

/// What belongs to one request: its trace id above all.
struct BrokerRequestContext: RequestContext {
    var coreContext: CoreRequestContextStorage
    let trace = TraceID()
    /// Who is at the other end of the connection.
    let peer: ClientAddress
    /// For whom the request counts: the peer, or where that is a trusted proxy, whoever it forwards for.
    var client: ClientAddress
    private let connection: ConnectionIdentity?

    init(source: ApplicationRequestContextSource) {
        coreContext = CoreRequestContextStorage(source: source)
        peer = source.channel.remoteAddress.flatMap { ClientAddress($0) } ?? .unknown
        client = peer
        connection = ConnectionIdentity.current
    }

    /// The certificate with which the client proved who it is when the connection was opened; nil where it sent none, and
    /// without TLS. Whether that still holds, `X509SVIDValidator` says.
    var certificate: ClientCertificate? { connection?.certificate }
}
