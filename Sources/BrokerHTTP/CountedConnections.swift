import Broker
import HummingbirdCore

/// A bound on open connections, which are counted as well.
struct CountedConnections: AvailableConnectionsDelegate {
    var bound: MaximumAvailableConnections
    let metrics: RequestMetrics

    mutating func connectionOpened() {
        bound.connectionOpened()
        metrics.connectionOpened()
    }

    mutating func connectionClosed() {
        bound.connectionClosed()
        metrics.connectionClosed()
    }

    func isAcceptingNewConnections() -> Bool {
        bound.isAcceptingNewConnections()
    }
}
