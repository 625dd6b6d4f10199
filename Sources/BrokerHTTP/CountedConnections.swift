import Broker
import HummingbirdCore

/// A bound on open connections, which are counted, and so is each time that the bound is reached: new ones wait then in
/// the listen queue, and nobody is told.
struct CountedConnections: AvailableConnectionsDelegate {
    var bound: MaximumAvailableConnections
    let metrics: RequestMetrics
    private var isFull = false

    init(bound: MaximumAvailableConnections, metrics: RequestMetrics) {
        self.bound = bound
        self.metrics = metrics
    }

    mutating func connectionOpened() {
        bound.connectionOpened()
        metrics.connectionOpened()
        guard !isFull, !bound.isAcceptingNewConnections() else { return }
        isFull = true
        metrics.refused(by: .connections)
    }

    mutating func connectionClosed() {
        bound.connectionClosed()
        metrics.connectionClosed()
        isFull = !bound.isAcceptingNewConnections()
    }

    func isAcceptingNewConnections() -> Bool {
        bound.isAcceptingNewConnections()
    }
}
