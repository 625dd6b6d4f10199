import Broker
import HTTPTypes
import Hummingbird
import JOSE
import NIOCore
import Synchronization

/// `GET /v1/revocations`: what is revoked, by number, as a document or as a stream of events (WHATWG HTML §9.2), for whoever
/// has the scope `daypass:revocations`.
struct RevocationFeed: Sendable {
    static let path = "/v1/revocations"
    /// So many streams are open at once; more are refused.
    static let maximumStreams = 64
    static let heartbeat = Duration.seconds(10)

    private let revocations: Revocations
    private let access: RouteAccess
    private let streams = Streams()

    init(revocations: Revocations, access: RouteAccess) {
        self.revocations = revocations
        self.access = access
    }

    func respond(to request: Request, _ context: BrokerRequestContext) -> Response {
        if let refusal = access.refusal(of: request, context, scope: .revocations) { return refusal }
        guard Self.asksForEvents(request) else { return document(request) }
        guard let place = streams.take() else {
            var response = Response.json(.serviceUnavailable, ["error": "temporarily_unavailable"])
            response.headers[.retryAfter] = "10"
            return response
        }
        return stream(place, request, context)
    }

    private func document(_ request: Request) -> Response {
        let snapshot = revocations.snapshot
        let tag = "\"\(snapshot.tag)\""
        let headers: HTTPFields = [.contentType: "application/json", .cacheControl: "private, no-cache", .eTag: tag]
        guard !KeyRoutes.matches(request.headers[values: .ifNoneMatch], tag) else {
            return Response(status: .notModified, headers: headers)
        }
        return Response(
            status: .ok, headers: headers,
            body: ResponseBody(byteBuffer: ByteBuffer(bytes: Self.json(snapshot).encoded())))
    }

    private static func json(_ snapshot: RevocationSnapshot) -> JSONObject {
        [
            "highest": .number(Double(snapshot.highest)),
            "revocations": .array(snapshot.revocations.map { .object($0.publicJSON) }),
        ]
    }

    private static func asksForEvents(_ request: Request) -> Bool {
        request.headers[values: .accept].flatMap { $0.split(separator: ",") }.contains { type in
            let name = type.drop { $0 == " " }.prefix { $0 != ";" && $0 != " " }
            return ExactString(String(name)).equalsIgnoringASCIICase("text/event-stream")
        }
    }

    /// Ends with its caller's right to it, and when the broker stops.
    private func stream(
        _ place: Streams.Place, _ request: Request, _ context: BrokerRequestContext
    ) -> Response {
        let last = HTTPField.Name("Last-Event-ID").flatMap { request.headers[$0] }
        let body = ResponseBody { [revocations, access] writer in
            // The place is held for as long as this is.
            defer { withExtendedLifetime(place) {} }
            var cursor = EventCursor(last)
            let pulse = EventPulse(of: revocations.changes(), every: Self.heartbeat)
            defer { pulse.end() }
            for await _ in pulse.beats {
                guard access.holds(for: request, context, scope: .revocations) else { break }
                var text = cursor.events(revocations.snapshot)
                // A comment, so that both ends notice a connection that is gone.
                if text.isEmpty { text = ":\n\n" }
                try await writer.write(ByteBuffer(string: text))
            }
            try await writer.finish(nil)
        }
        return Response(
            status: .ok, headers: [.contentType: "text/event-stream", .cacheControl: "no-store"], body: body)
    }

    /// What a stream has sent so far.
    struct EventCursor {
        /// The edition and the number; nil where the next event is the whole set.
        private var sent: (edition: String, number: UInt64)?

        /// - Parameter last: `Last-Event-ID`; of another run of the broker, or from before a block was lifted, it says
        ///   nothing.
        init(_ last: String?) {
            let parts = last?.split(separator: "-", omittingEmptySubsequences: false) ?? []
            guard parts.count == 2, let number = UInt64(parts[1]) else { return }
            sent = (String(parts[0]), number)
        }

        /// What there is to be sent; empty for nothing.
        mutating func events(_ snapshot: RevocationSnapshot) -> String {
            defer { sent = (snapshot.edition, snapshot.highest) }
            guard let sent, sent.edition == snapshot.edition, sent.number <= snapshot.highest else {
                return event("set", snapshot.highest, RevocationFeed.json(snapshot), snapshot)
            }
            return snapshot.after(sent.number).map { event("revocation", $0.sequence, $0.publicJSON, snapshot) }
                .joined()
        }

        private func event(
            _ name: String, _ number: UInt64, _ data: JSONObject, _ snapshot: RevocationSnapshot
        ) -> String {
            // No encoding has a line break in it.
            let text = String(decoding: data.encoded(), as: UTF8.self)
            return "event: \(name)\nid: \(snapshot.edition)-\(number)\ndata: \(text)\n\n"
        }
    }

    /// The streams that are open.
    private final class Streams: Sendable {
        private let count = Mutex(0)

        func take() -> Place? {
            let isFree = count.withLock { count in
                guard count < maximumStreams else { return false }
                count += 1
                return true
            }
            return isFree ? Place(self) : nil
        }

        /// Given back when nobody holds it any more, also where its stream never began.
        final class Place: Sendable {
            private let streams: Streams

            init(_ streams: Streams) {
                self.streams = streams
            }

            deinit {
                streams.count.withLock { $0 -= 1 }
            }
        }
    }
}
