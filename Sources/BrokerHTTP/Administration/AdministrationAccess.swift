import Broker
import FoundationEssentials
import HTTPTypes
import Hummingbird
import JOSE
import Logging
import SPIFFE

/// Who may do what on one of the administration listeners.
struct AdministrationAccess: Sendable {
    enum Proof: Sendable {
        /// What the kernel says of the process at the other end.
        case peer(SocketPermission)
        /// A gateway token for the broker itself, with scopes of its own.
        case token(TokenVerifier, issuer: ExactString, PresentedCertificates)
    }

    let proof: Proof
    let clock: any BrokerClock
    let logger: Logger
    private let lines = LineLimit(perSecond: 10)

    init(_ proof: Proof, clock: any BrokerClock, logger: Logger) {
        self.proof = proof
        self.clock = clock
        self.logger = logger
    }

    /// Somebody who was let in.
    struct Administrator: Sendable {
        let caller: Caller
        /// Nil where he may do everything.
        let scopes: [Scope]?

        func may(_ scope: AdministrationScope) -> Bool {
            guard let scopes else { return true }
            return scopes.contains { $0.text == scope.text || $0.text == AdministrationScope.admin.text }
        }
    }

    /// Whether a connection ends with its first answer. One over the socket does: who it is was settled when it was made,
    /// and it must not outlive that by long.
    var isForOneRequest: Bool { if case .peer = proof { true } else { false } }

    /// Who asks, if anybody may ask anything here; found out for each request.
    func administrator(
        _ request: Request, _ context: BrokerRequestContext
    ) async throws(AdministrationError) -> Administrator {
        switch proof {
        case .peer(let permission):
            guard let peer = context.socketPeer else { throw refused("no credentials", "a process", context) }
            switch await permission.membership(of: peer) {
            case .member: return Administrator(caller: peer.caller, scopes: nil)
            case .stranger: throw refused("uid", "\(peer.caller.text)", context)
            case .unknown:
                note("the database of users does not answer", "\(peer.caller.text)", context)
                throw .membershipUnknown
            }
        case .token(let verifier, let issuer, let certificates):
            let certificate = certificates.fingerprint(of: context, request.headers)
            return try administrator(request, context, verifier, issuer, certificate)
        }
    }

    private func administrator(
        _ request: Request, _ context: BrokerRequestContext, _ verifier: TokenVerifier, _ issuer: ExactString,
        _ certificate: CertificateFingerprint?
    ) throws(AdministrationError) -> Administrator {
        guard let token = Self.token(request.headers) else {
            note("token missing", "\(context.peer)", context)
            throw .noToken
        }
        let claims: GatewayClaims
        do {
            claims = try verifier.claims(of: token, presentedBy: certificate, at: clock.now)
        } catch {
            note("token \(error.fault.rawValue)", "\(context.peer)", context)
            throw .invalidToken
        }
        // A gateway's token is not for the broker, whatever else it says.
        guard claims.isForBroker, claims.audience == issuer else {
            note("token audience", "\(context.peer)", context)
            throw .invalidToken
        }
        return Administrator(
            caller: .token(subject: claims.subject, session: claims.sessionID, rule: claims.rule),
            scopes: claims.scope)
    }

    /// Refuses what an administrator may not do.
    func require(
        _ scope: AdministrationScope, of administrator: Administrator, _ context: BrokerRequestContext
    ) throws(AdministrationError) {
        guard administrator.may(scope) else {
            note("scope \(scope.rawValue) missing", "\(administrator.caller.text)", context)
            throw .insufficientScope(scope)
        }
    }

    private func refused(_ reason: String, _ who: String, _ context: BrokerRequestContext) -> AdministrationError {
        note(reason, who, context)
        return .notPermitted
    }

    private func note(_ reason: String, _ who: String, _ context: BrokerRequestContext) {
        guard let omitted = lines.admit(at: clock.uptime) else { return }
        logger.warning(
            "administration refused",
            metadata: [
                "reason": "\(reason)", "caller": "\(who)", "trace": "\(context.trace)", "omitted": "\(omitted)",
            ])
    }

    /// Of one `Authorization: Bearer`, and nothing else.
    private static func token(_ headers: HTTPFields) -> SecretText? {
        let values = headers[values: .authorization]
        guard values.count == 1, let value = values.first else { return nil }
        let scheme = value.prefix { $0 != " " }
        guard ExactString(String(scheme)).equalsIgnoringASCIICase("Bearer") else { return nil }
        let token = value.dropFirst(scheme.count).drop { $0 == " " }
        return token.isEmpty ? nil : SecretText(String(token))
    }
}

/// What a route needs on the network; `daypass:admin` stands for each.
enum AdministrationScope: String, Sendable, CaseIterable {
    case admin = "daypass:admin"
    case keys = "daypass:keys"
    case revoke = "daypass:revoke"
    case sessions = "daypass:sessions"
    case issuers = "daypass:issuers"
    case rules = "daypass:rules"
    case audit = "daypass:audit"
    case credentials = "daypass:credentials"

    var text: ExactString { ExactString(rawValue) }
}
