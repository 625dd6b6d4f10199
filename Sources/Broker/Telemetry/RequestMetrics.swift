import Synchronization

/// What the public listener answers and refuses, before and around the exchange. Callable from any thread; nothing here
/// waits.
package final class RequestMetrics: MetricSource {
    package enum Route: Int, MetricLabel {
        case token, verify, keys, metadata, health, revocation
        // Where people sign in.
        case deviceAuthorization, devicePage, callback, sessionsPage, logout
        case other
    }

    /// The limit that a request or a connection ran into.
    package enum Limit: Int, MetricLabel {
        /// Exchanges of one client address.
        case addressRate
        /// Connections of one client address.
        case addressConnections
        /// Connections of all.
        case connections
        case headers, body
        /// A head or a body that took too long to arrive.
        case slowRequest
        /// An answer that took too long, or was not taken.
        case slowResponse
        /// More work is under way than can be answered in time.
        case overload
    }

    /// Final statuses by their first digit, from 2 on.
    private enum StatusClass: Int, MetricLabel {
        case success, redirection, clientError, serverError
    }

    /// Counts where nobody looks.
    package static let disabled = RequestMetrics(maximumConnections: 0)

    private let maximumConnections: Int
    private let connections = Atomic<Int>(0)
    private let responses: CounterTable<StatusClass>
    private let refusals = Counter<Limit>(
        "daypass_limit_refusals_total", by: "limit", "Requests and connections refused by a limit.")

    package init(maximumConnections: Int) {
        self.maximumConnections = maximumConnections
        responses = CounterTable(
            "daypass_http_responses_total", rowLabels: ["route"], rows: Route.allCases.map { [$0.text] },
            column: "status", listed: 0..<Route.allCases.count,
            "Responses of the public listener. Requests that could not be parsed are not among them.")
    }

    /// - Parameter status: of HTTP (RFC 9110 §15).
    package func responded(_ route: Route, status: Int) {
        guard let status = StatusClass(rawValue: status / 100 - 2) else { return }
        responses.count(row: route.rawValue, status)
    }

    package func refused(by limit: Limit) {
        refusals.count(limit)
    }

    package func connectionOpened() {
        connections.wrappingAdd(1, ordering: .relaxed)
    }

    package func connectionClosed() {
        connections.wrappingSubtract(1, ordering: .relaxed)
    }

    package func write(to text: inout MetricText) {
        responses.write(to: &text)
        refusals.write(to: &text)
        text.family("daypass_connections_open", .gauge, "Open connections of the public listener.")
        text.sample(Double(connections.load(ordering: .relaxed)))
        text.family("daypass_connections_limit", .gauge, "As many may be open: server.limits.connections.")
        text.sample(Double(maximumConnections))
    }
}
