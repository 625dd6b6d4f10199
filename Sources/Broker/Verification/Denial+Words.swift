import FoundationEssentials
import JOSE
import SPIFFE

// Denials in words, for administrators; a gateway learns no more than the status.

extension Denial {
    /// One word, as in records.
    var code: String {
        switch self {
        case .token(let fault): fault.rawValue
        case .insufficientScope: "insufficient_scope"
        case .insufficientModel: "insufficient_model"
        case .nothingRequired: "nothing_required"
        case .tooManyModels: "too_many_models"
        case .tooManyFailures: "too_many_failures"
        case .overloaded: "overloaded"
        }
    }

    var words: String {
        switch self {
        case .token(let fault): "401: \(fault.words)"
        case .insufficientScope: "403: the token is good, and lacks a scope that the gateway requires"
        case .insufficientModel: "403: the token is good, and lists models, none of which is the one that is required"
        case .nothingRequired: "403: the gateway requires no scope, so its configuration is most likely wrong"
        case .tooManyModels:
            "403: the gateway requires more than \(Requirement.maximumModels) models at once"
        case .tooManyFailures:
            "429: too many tokens with bad signatures came from this address; for the moment only those are let pass that "
                + "the broker knows already"
        case .overloaded:
            "503: more was asked than could be answered in time, and the token is not one that the broker knows already; it was "
                + "not looked at, and may be good: asked again, it is"
        }
    }

    /// What was wanted and what the token has, whose signature was good.
    func facts(
        of claims: GatewayClaims, _ requirement: Requirement?, _ killer: Revocation.Target?, at now: Date
    ) -> [RecentRefusal.Fact] {
        switch self {
        case .token(.expired):
            return [.init("exp", wanted: "after \(Self.moment(now))", got: Self.moment(claims.expiry))]
        case .token(.notYetValid):
            return [.init("nbf", wanted: "at or before \(Self.moment(now))", got: Self.moment(claims.notBefore))]
        case .token(.revoked):
            let target = killer.map { ExactString("revoked: \($0.words)") }
            return [.init("revocation", wanted: "none with a number above \(claims.revision)", got: target)]
        case .token(.certificate):
            let bound = claims.binding.map { "the certificate \($0.thumbprint)" } ?? ""
            return [.init("cnf", wanted: bound, got: nil)]
        case .insufficientScope:
            let missing = requirement?.scopes.filter { !claims.scope.contains($0) }.map(\.text) ?? []
            return [.init("scope", wanted: Self.list(missing).string, got: Self.list(claims.scope.map(\.text)))]
        case .insufficientModel:
            let models = claims.models?.map(\.pattern) ?? []
            return [
                .init("models", wanted: Self.list(requirement?.models ?? []).string, got: Self.list(models))
            ]
        case .token, .nothingRequired, .tooManyModels, .tooManyFailures, .overloaded: return []
        }
    }

    private static func moment(_ date: Date) -> ExactString { ExactString(RecordedTime(date).text) }

    private static func moment(_ seconds: Double) -> ExactString { moment(Date(timeIntervalSince1970: seconds)) }

    /// The first of them, each cut where it is long: a gateway, and its client, choose what is required.
    private static func list(_ texts: [ExactString]) -> ExactString {
        // A character may have any number of bytes.
        let shown = texts.prefix(8).map { $0.string.unicodeScalars.prefix(utf8Count: 128) }
        let more = texts.count > shown.count ? " and \(texts.count - shown.count) more" : ""
        return ExactString(shown.isEmpty ? "none" : shown.joined(separator: " ") + more)
    }
}

extension Denial.TokenFault {
    var words: String {
        switch self {
        case .missing: "there is no token"
        case .malformed: "what was presented is no token, or two that differ"
        case .type: "it is no access token: its typ is not at+jwt"
        case .issuer: "its iss is not this broker"
        case .audience: "its aud is not one of the gateways' audiences"
        case .algorithm: "its alg is not that of the key that it names"
        case .key: "its kid is none of this broker's keys: somebody else signed it, or that key was retired or revoked"
        case .signature: "its signature does not fit: it was altered, or signed by somebody else"
        case .expired: "it has expired"
        case .notYetValid: "it is not yet valid: the clocks of two brokers differ"
        case .claims: "its claims are not as this broker writes them, or from a store that was set back"
        case .certificate: "it is bound to a certificate, and came without it"
        case .revoked: "it was revoked"
        }
    }
}

extension Revocation.Target {
    /// Such as `subject ci:a`.
    var words: String {
        switch self {
        case .token(let value): "token \(value)"
        case .session(let value): "session \(value)"
        case .subject(let value): "subject \(value)"
        case .rule(let value): "rule \(value)"
        case .issuer(let name): "issuer \(name)"
        case .key(let value): "signing key \(value)"
        case .all: "everything"
        }
    }
}

extension String.UnicodeScalarView {
    /// As many of the first ones as have so many bytes of UTF-8 together.
    fileprivate func prefix(utf8Count limit: Int) -> String {
        var length = 0
        return String(
            String.UnicodeScalarView(
                prefix { scalar in
                    length += UTF8.width(scalar)
                    return length <= limit
                }))
    }
}
