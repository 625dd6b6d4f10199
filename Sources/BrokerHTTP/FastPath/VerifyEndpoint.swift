// The gateway's question, answered the same way on three roads: by the gate in front of the HTTP decoder (VerifyGate), behind
// the decoder (DirectRoutes), and by the general router (VerifyRoute). Here it is decided; a refusal is kept and counted.
import Broker
import FoundationEssentials
import SPIFFE

/// Answers what gateways ask. Synchronous; callable from any thread.
struct VerifyEndpoint: Sendable {
    let verifier: TokenVerifier
    let clock: any BrokerClock
    let metrics: VerifyMetrics
    let recent: RecentRefusals

    /// - Parameters:
    ///   - certificate: that of whoever presents the token, where it is good now.
    ///   - client: whose request it is, for whoever looks for its refusal.
    ///   - trace: that of the answer; made only for a refusal.
    func answer(
        _ question: VerifyQuestion, presentedBy certificate: CertificateFingerprint?, client: ClientAddress,
        trace: @autoclosure () -> TraceID, at now: Date
    ) -> VerifyAnswer {
        let token: SecretText
        switch question.credential {
        case .none:
            return refused(.token(.missing), nil, question, client, trace(), now)
        case .ambiguous:
            return refused(.token(.malformed), nil, question, client, trace(), now)
        case .token(let presented):
            token = presented
        }
        guard let requirement = question.requirement else {
            return refused(.insufficientScope, nil, question, client, trace(), now)
        }
        let judgement = verifier.judgement(on: token, requiring: requirement, presentedBy: certificate, at: now)
        switch judgement.verdict {
        case .allow(let claims):
            metrics.allowed()
            return .allowed(claims)
        case .deny(let denial):
            return refused(denial, judgement, question, client, trace(), now)
        }
    }

    private func refused(
        _ denial: Denial, _ judgement: Judgement?, _ question: VerifyQuestion, _ client: ClientAddress,
        _ trace: TraceID, _ now: Date
    ) -> VerifyAnswer {
        var token: SecretText?
        if case .token(let presented) = question.credential { token = presented }
        recent.note(
            denial, judgement, token: token, requiring: token == nil ? nil : question.requirement, trace: trace,
            client: client.text, at: now)
        metrics.denied(denial)
        return .refused(denial)
    }
}
