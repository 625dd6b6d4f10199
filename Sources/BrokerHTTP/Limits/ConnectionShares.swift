import Broker
import NIOCore

/// What each address may have of the public listener's connections: a quarter, and a network half; trusted proxies, which
/// stand for many clients, any number.
struct ConnectionShares: Sendable {
    private let proxies: TrustedProxies
    private let places: FairPlaces
    private let refusals: LimitRefusals

    init(_ server: ServerConfiguration, refusals: LimitRefusals) {
        proxies = TrustedProxies(server.trustedProxies)
        places = FairPlaces(server.limits.connections)
        self.refusals = refusals
    }

    /// Of a listener that no proxy stands in front of.
    init(connections: Int, refusals: LimitRefusals) {
        proxies = TrustedProxies([])
        places = FairPlaces(connections)
        self.refusals = refusals
    }

    /// Counts a connection until it is closed, or closes it. On its event loop.
    /// - Returns: whether it stays open.
    func admit(_ channel: any Channel) -> Bool {
        // Without an address the peer is gone already.
        guard let client = channel.remoteAddress.flatMap({ ClientAddress($0) }) else {
            channel.close(promise: nil)
            return false
        }
        guard !proxies.trusts(client) else { return true }
        guard places.take(for: client) else {
            refusals.note(.addressConnections, client)
            channel.close(promise: nil)
            return false
        }
        channel.closeFuture.whenComplete { _ in places.giveBack(of: client) }
        return true
    }
}
