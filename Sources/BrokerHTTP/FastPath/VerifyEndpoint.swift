// The gateway's question, answered the same way on three roads: by the gate in front of the HTTP decoder (VerifyGate), behind
// the decoder (DirectRoutes), and by the general router (VerifyRoute). Here it is decided; a refusal is kept and counted.
import Broker
import FoundationEssentials
import HTTPTypes
import SPIFFE

/// Answers what gateways ask. Synchronous; callable from any thread.
final class VerifyEndpoint: Sendable {
    let verifier: TokenVerifier
    let proxies: TrustedProxies
    let clock: any BrokerClock
    let metrics: VerifyMetrics
    let recent: RecentRefusals
    /// What is noted for lack of time: more would only drive each other out, and take time.
    private let unexamined = LineLimit(perSecond: 100)

    init(
        verifier: TokenVerifier, proxies: TrustedProxies, clock: any BrokerClock, metrics: VerifyMetrics,
        recent: RecentRefusals
    ) {
        self.verifier = verifier
        self.proxies = proxies
        self.clock = clock
        self.metrics = metrics
        self.recent = recent
    }

    /// Who asks, and what stays the same whatever is asked.
    struct Asker {
        /// The other end of the connection.
        let client: ClientAddress
        /// That of whoever presents the token, where it is good now.
        var certificate: CertificateFingerprint?
        let now: Date
    }

    /// - Parameters:
    ///   - headers: those of the request, read only where a trusted proxy speaks for others and a signature is checked, or
    ///     the answer is a refusal.
    ///   - hasTime: whether an unknown token may be looked at now, asked only for those.
    ///   - trace: that of the answer; made only for a refusal.
    func answer(
        _ question: VerifyQuestion, by asker: Asker, headers: () -> HTTPFields, hasTime: () -> Bool,
        trace: () -> TraceID
    ) -> VerifyAnswer {
        switch question.credential {
        case .none: return refuse(.token(.missing), asker, headers, trace)
        case .ambiguous: return refuse(.token(.malformed), asker, headers, trace)
        case .token(let token):
            let text = token.reveal()
            return answer(
                text.utf8.span, requiring: question.requirement, by: asker, headers: headers, hasTime: hasTime,
                trace: trace)
        }
    }

    /// The same for the bytes of the one token that there is. Allocates nothing where it is remembered and allowed.
    /// - Parameter requirement: nil where it cannot be read.
    func answer(
        _ token: Span<UInt8>, requiring requirement: Requirement?, by asker: Asker, headers: () -> HTTPFields,
        hasTime: () -> Bool, trace: () -> TraceID
    ) -> VerifyAnswer {
        let judgement = verifier.judgement(
            on: token, requiring: requirement ?? Requirement(), presentedBy: asker.certificate,
            from: { holder(asker.client, headers) }, hasTime: hasTime, at: asker.now)
        switch judgement.verdict {
        case .allow(let verified) where requirement != nil:
            metrics.allowed()
            return .allowed(verified)
        // RFC 6750 §3.1: 403 is for a token that is good, whatever else there is to refuse.
        case .deny(.nothingRequired) where requirement == nil, .allow:
            return refuse(.insufficientScope, asker, headers, trace, judgement, token: Self.text(token))
        case .deny(.overloaded) where unexamined.admit(at: clock.uptime) == nil:
            metrics.denied(.overloaded)
            return .refused(.overloaded)
        case .deny(let denial):
            return refuse(denial, asker, headers, trace, judgement, token: Self.text(token), requiring: requirement)
        }
    }

    /// The refusal of a request without one token.
    func refuse(
        _ fault: Denial.TokenFault, by asker: Asker, headers: () -> HTTPFields, trace: () -> TraceID
    ) -> VerifyAnswer {
        refuse(.token(fault), asker, headers, trace)
    }

    private func refuse(
        _ denial: Denial, _ asker: Asker, _ headers: () -> HTTPFields, _ trace: () -> TraceID,
        _ judgement: Judgement? = nil, token: SecretText? = nil, requiring requirement: Requirement? = nil
    ) -> VerifyAnswer {
        let client = proxies.client(of: asker.client, headers())
        recent.note(
            denial, judgement, token: token, requiring: requirement, trace: trace(), client: client.text, at: asker.now)
        metrics.denied(denial)
        return .refused(denial)
    }

    /// Whom failed verifications count for. Never a proxy itself: others are behind it, whom it did not name.
    private func holder(_ peer: ClientAddress, _ headers: () -> HTTPFields) -> FailureHolder? {
        let client = proxies.client(of: peer, headers())
        return proxies.trusts(client) ? nil : FailureHolder(client)
    }

    private static func text(_ token: Span<UInt8>) -> SecretText {
        SecretText(token.withUnsafeBufferPointer { String(decoding: $0, as: UTF8.self) })
    }
}

extension FailureHolder {
    fileprivate init(_ client: ClientAddress) {
        self.init(address: client.holder, network: client.network)
    }
}
