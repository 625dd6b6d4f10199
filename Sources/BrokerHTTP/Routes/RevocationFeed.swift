import Broker
import HTTPTypes
import Hummingbird
import JOSE
import NIOCore

/// `GET /v1/revocations`: what is revoked, by number, as a document or as a stream of events (WHATWG HTML §9.2), for whoever
/// has the scope `daypass:revocations`.
struct RevocationFeed: Sendable {
    static let path = "/v1/revocations"
    static let heartbeat = Duration.seconds(10)

    private let revocations: Revocations
    private let access: RouteAccess
    private let places = FeedPlaces()
    private let encoded: EncodedRevocations

    init(revocations: Revocations, access: RouteAccess) {
        self.revocations = revocations
        self.access = access
        encoded = EncodedRevocations()
    }

    func respond(to request: Request, _ context: BrokerRequestContext) async -> Response {
        switch access.admission(of: request, context, scope: .revocations) {
        case .refused(let response): return response
        case .admitted(let subject):
            guard Self.asksForEvents(request) else { return await document(request) }
            guard let place = places.take(for: subject) else {
                var response = Response.json(.serviceUnavailable, ["error": "temporarily_unavailable"])
                response.headers[.retryAfter] = "10"
                return response
            }
            return stream(place, request, context)
        }
    }

    private func document(_ request: Request) async -> Response {
        let snapshot = revocations.snapshot
        let current = Self.headers(snapshot.tag)
        guard !KeyRoutes.matches(request.headers[values: .ifNoneMatch], current[.eTag] ?? "") else {
            return Response(status: .notModified, headers: current)
        }
        let whole = await encoded.document(of: snapshot)
        return Response(status: .ok, headers: Self.headers(whole.tag), body: ResponseBody(byteBuffer: whole.json))
    }

    private static func headers(_ tag: String) -> HTTPFields {
        [.contentType: "application/json", .cacheControl: "private, no-cache", .eTag: "\"\(tag)\""]
    }

    private static func asksForEvents(_ request: Request) -> Bool {
        request.headers[values: .accept].flatMap { $0.split(separator: ",") }.contains { type in
            let name = type.drop { $0 == " " }.prefix { $0 != ";" && $0 != " " }
            return ExactString(String(name)).equalsIgnoringASCIICase("text/event-stream")
        }
    }

    /// Ends with its caller's right to it, and when the broker stops. To whoever takes nothing nothing more is written, and
    /// `ConnectionLimits` ends it.
    private func stream(
        _ place: FeedPlaces.Place, _ request: Request, _ context: BrokerRequestContext
    ) -> Response {
        let last = HTTPField.Name("Last-Event-ID").flatMap { request.headers[$0] }
        let body = ResponseBody { [revocations, access, encoded] writer in
            // The place is held for as long as this is.
            defer { withExtendedLifetime(place) {} }
            var cursor = EventCursor(encoded, last)
            let follower = revocations.follower()
            let pulse = EventPulse(of: revocations.changes(), every: Self.heartbeat)
            defer { pulse.end() }
            for await _ in pulse.beats {
                var isQuiet = true
                // Asked before the snapshot: what ended its caller's right is in that, and the last that it is told.
                let holds = access.holds(for: request, context, scope: .revocations)
                guard holds || cursor.number != nil else { break }
                let snapshot = revocations.snapshot
                while let events = await cursor.next(of: snapshot) {
                    for part in events where part.readableBytes > 0 {
                        isQuiet = false
                        try await writer.write(part)
                    }
                }
                if let number = cursor.number { follower.reached(number) }
                guard holds else { break }
                // A comment, so that both ends notice a connection that is gone.
                if isQuiet { try await writer.write(ByteBuffer(string: ":\n\n")) }
            }
            try await writer.finish(nil)
        }
        return Response(
            status: .ok, headers: [.contentType: "text/event-stream", .cacheControl: "no-store"], body: body)
    }

    /// What a stream has sent so far.
    struct EventCursor {
        private let encoded: EncodedRevocations
        /// The edition and the number; nil where the next event is the whole set.
        private var sent: (edition: String, number: UInt64)?
        /// The change up to which all was sent, by a whole set that was newer than what was asked for, too.
        private var change: UInt64?

        /// - Parameter last: `Last-Event-ID`; of another run of the broker, or from before a block was lifted, it says
        ///   nothing.
        init(_ encoded: EncodedRevocations, _ last: String?) {
            self.encoded = encoded
            let parts = last?.split(separator: "-", omittingEmptySubsequences: false) ?? []
            guard parts.count == 2, let number = UInt64(parts[1]) else { return }
            sent = (String(parts[0]), number)
        }

        /// The number up to which all was sent; nil before anything was.
        var number: UInt64? { sent?.number }

        /// What is to be sent next, in parts that others share; nil where all was.
        mutating func next(of snapshot: RevocationSnapshot) async -> [ByteBuffer]? {
            if let change, change >= snapshot.change { return nil }
            guard let sent, sent.edition == snapshot.edition, sent.number <= snapshot.highest else {
                let set = await encoded.set(of: snapshot)
                (self.sent, change) = ((set.edition, set.highest), set.change)
                return set.event
            }
            guard sent.number < snapshot.highest else { return nil }
            let events = await encoded.events(after: sent.number, of: snapshot)
            self.sent = (snapshot.edition, events.last)
            return [events.text]
        }
    }
}
