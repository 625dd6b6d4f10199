import Broker
import FoundationEssentials
import HTTPTypes
import Hummingbird
import HummingbirdCore
import JOSE

/// `ANY /verify` and `/verify/…`: a gateway asks whether a request may pass (nginx `auth_request`, Traefik and Caddy
/// forward authentication, Envoy `ext_authz`), and the request was decoded.
struct VerifyRoute: Sendable {
    let endpoint: VerifyEndpoint
    let certificates: PresentedCertificates

    /// - Parameter hasTime: whether a signature may be checked now.
    func answer(
        _ uri: URI, _ headers: HTTPFields, from peer: ConnectionPeer, trace: TraceID, hasTime: () -> Bool, at now: Date
    ) -> ImmediateAnswer {
        let question = VerifyQuestion(headers, query: uri.path == "/verify" ? uri.query : nil)
        let asker = VerifyEndpoint.Asker(
            client: peer.address, certificate: certificates.fingerprint(of: peer, headers, at: now), now: now)
        let answer = endpoint.answer(question, by: asker, headers: { headers }, hasTime: hasTime, trace: { trace })
        return ImmediateAnswer(answer.status, HTTPFields(answer))
    }

    /// The token that a request shows; nil where it is not one.
    static func token(_ headers: HTTPFields) -> SecretText? {
        guard case .token(let token) = VerifyQuestion.credential(headers) else { return nil }
        return token
    }
}
