package import FoundationEssentials
package import JOSE
import Synchronization

/// The last refusals that are in no audit record, for `explain`: those of `/verify`, and of exchanges by whoever proved
/// nothing, which anybody can cause.
///
/// Bounded: eight rings of 256 for refusals of those who proved who they are, and as many for all others; which ring, the
/// subject or the client's address says, so that one of them does not drive out what the others are asked about. About
/// 12 MiB at most; lost with the process. Callable from any thread.
package final class RecentRefusals: Sendable {
    package static let ringLength = 256
    static let ringCount = 8
    /// So many refusals a second have what their token says of itself: to read that costs as much as to refuse it.
    private static let readPerSecond = 100

    private let proved = (0..<ringCount).map { _ in Ring() }
    private let unproved = (0..<ringCount).map { _ in Ring() }
    private let reading = LineLimit(perSecond: readPerSecond)
    private let clock: any BrokerClock
    /// From when on refusals are kept here.
    package let start: Date

    package init(clock: any BrokerClock = SystemClock()) {
        self.clock = clock
        start = clock.now
    }

    private final class Ring: Sendable {
        private struct State {
            var refusals: [RecentRefusal] = []
            var next = 0
        }

        private let state = Mutex(State())

        func append(_ refusal: RecentRefusal) {
            state.withLock { state in
                if state.refusals.count < RecentRefusals.ringLength {
                    state.refusals.append(refusal)
                } else {
                    state.refusals[state.next] = refusal
                    state.next = (state.next + 1) % RecentRefusals.ringLength
                }
            }
        }

        func refusals(of trace: TraceID) -> [RecentRefusal] {
            state.withLock { state in state.refusals.filter { $0.trace == trace } }
        }
    }

    /// Those of one request, oldest first; none where they are unknown or were driven out.
    package func refusals(of trace: TraceID) -> [RecentRefusal] {
        (proved + unproved).flatMap { $0.refusals(of: trace) }.sorted { $0.time < $1.time }
    }

    package func note(_ refusal: RecentRefusal) {
        let rings = refusal.subject == nil ? unproved : proved
        let hash = (refusal.subject ?? refusal.client).hashValue
        rings[Int(UInt(bitPattern: hash) % UInt(rings.count))].append(refusal)
    }

    /// What a token that proved nothing says of itself; nil where it cannot be read, or too many have to be.
    func said(by token: SecretText?) -> JSONObject? {
        guard let token, reading.admit(at: clock.uptime) != nil else { return nil }
        return RecentRefusal.said(by: token)
    }
}

/// A refusal that is in no audit record. It never holds a token.
package struct RecentRefusal: Sendable {
    package enum Place: String, Sendable {
        case verify, exchange, logout
        case signIn = "sign_in"
    }

    package let trace: TraceID
    package let time: Date
    package let place: Place
    package let client: ExactString
    /// One word, as in metrics and in the log.
    package let reason: String
    /// In words of ours.
    package let words: String
    /// Whose gateway token it was, where its signature was good.
    package let subject: ExactString?
    package let rule: ExactString?
    package let sessionID: ExactString?
    /// `jti`
    package let tokenID: ExactString?
    /// What was wanted, and what was there instead: texts of ours or of the token whose signature was good.
    package let facts: [Fact]
    /// What a token says of itself that proved nothing.
    package let said: JSONObject?

    /// One thing that was checked and did not hold.
    package struct Fact: Sendable, Hashable {
        package let name: String
        package let wanted: String
        /// Nil where there was none.
        package let got: ExactString?

        package init(_ name: String, wanted: String, got: ExactString?) {
            self.name = name
            self.wanted = wanted
            self.got = got
        }
    }

    package init(
        trace: TraceID, time: Date, place: Place, client: ExactString, reason: String, words: String,
        subject: ExactString? = nil, rule: ExactString? = nil, sessionID: ExactString? = nil,
        tokenID: ExactString? = nil, facts: [Fact] = [], said: JSONObject? = nil
    ) {
        self.trace = trace
        self.time = time
        self.place = place
        self.client = client
        self.reason = reason
        self.words = words
        self.subject = subject
        self.rule = rule
        self.sessionID = sessionID
        self.tokenID = tokenID
        self.facts = facts
        self.said = said
    }
}

extension RecentRefusal {
    private static let shown: [ExactString] = ["iss", "sub", "aud", "exp", "nbf", "iat", "azp"]

    /// The claims by which a token is known, and of its header what chooses a key; each at most 256 bytes, or its digest.
    static func said(by token: SecretText) -> JSONObject? {
        guard let jws = try? CompactJWS(parsing: Array(token.reveal().utf8)) else { return nil }
        var said: JSONObject = ["alg": .string(ExactString(jws.header.algorithm.rawValue))]
        if let keyID = jws.header.keyID { _ = said.append("kid", JSONValue.string(keyID).shown) }
        if let type = jws.header.type { _ = said.append("typ", JSONValue.string(type).shown) }
        let claims = (try? JSONReader.readObject(jws.payload, depth: GatewayClaims.maximumDepth)) ?? [:]
        for name in shown {
            if let value = claims[name] { _ = said.append(name, value.shown) }
        }
        return said
    }
}

extension RecentRefusals {
    /// That a proof proved nothing.
    func note(_ failure: AuthenticationFailure, _ request: ExchangeRequest, at now: Date) {
        note(
            RecentRefusal(
                trace: request.trace, time: now, place: .exchange, client: request.client, reason: failure.reason.code,
                words: "the subject token is not acceptable: \(failure.reason)", said: said(by: request.proof)))
    }

    /// That a gateway token proved nothing where it was to be renewed or narrowed.
    func note(_ fault: Denial.TokenFault, _ request: ExchangeRequest, at now: Date) {
        note(
            RecentRefusal(
                trace: request.trace, time: now, place: .exchange, client: request.client, reason: fault.rawValue,
                words: "the gateway token is not acceptable: \(fault.words)", said: said(by: request.proof)))
    }

    /// That an exchange could not be decided or recorded.
    func note(_ outage: ExchangeOutage, _ request: ExchangeRequest, at now: Date) {
        note(
            RecentRefusal(
                trace: request.trace, time: now, place: .exchange, client: request.client, reason: outage.reason.text,
                words: "nothing is wrong with the request, it may work later: \(outage.cause)", rule: outage.rule))
    }

    /// That a gateway was told to let nobody pass.
    /// - Parameters:
    ///   - client: of the gateway.
    ///   - token: what was presented; nil where there was none, or two.
    package func note(
        _ denial: Denial, _ judgement: Judgement?, token: SecretText?, requiring requirement: Requirement?,
        trace: TraceID, client: ExactString, at now: Date
    ) {
        let claims = judgement?.claims
        note(
            RecentRefusal(
                trace: trace, time: now, place: .verify, client: client, reason: denial.code, words: denial.words,
                subject: claims?.subject, rule: claims?.rule, sessionID: claims?.sessionID, tokenID: claims?.tokenID,
                facts: claims.map { denial.facts(of: $0, requirement, judgement?.killer, at: now) } ?? [],
                said: claims == nil ? said(by: token) : nil))
    }
}

extension ExchangeRequest {
    /// The token that it presents; nil where that is a certificate.
    fileprivate var proof: SecretText? {
        switch subject {
        case .proof(let token), .gatewayToken(let token): token
        case .certificate: nil
        }
    }
}
