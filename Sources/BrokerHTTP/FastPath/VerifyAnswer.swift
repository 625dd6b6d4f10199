import Broker
import HTTPTypes
import JOSE

/// What a gateway is told, as fields: once for all that write them.
enum VerifyAnswer: Sendable {
    case allowed(VerifiedToken)
    case refused(Denial)

    var status: HTTPResponse.Status {
        switch self {
        case .allowed: .ok
        // Agents fetch a new token then, and on 403 they do not.
        case .refused(.token): .unauthorized
        case .refused(.tooManyFailures): .tooManyRequests
        case .refused(.overloaded): .serviceUnavailable
        case .refused: .forbidden
        }
    }

    /// The fields in their order, without those that every answer has. There is never a body.
    func write(to fields: inout some VerifyFields) {
        switch self {
        case .allowed(let token):
            fields.add(token)
            fields.add(.cacheControl, "no-store")
        case .refused(.tooManyFailures), .refused(.overloaded):
            // There is room again after a part of a second; the field counts in whole ones.
            fields.add(.retryAfter, "1")
            fields.add(.cacheControl, "no-store")
        case .refused(.token(let fault)):
            // RFC 6750 §3.1: no error code where no token was given.
            fields.add(.challenge, fault == .missing ? "Bearer" : #"Bearer error="invalid_token""#)
            fields.add(.cacheControl, "no-store")
        case .refused(let denial):
            fields.add(.challenge, #"Bearer error="insufficient_scope""#)
            fields.add(.cacheControl, "no-store")
            switch denial {
            case .nothingRequired:
                fields.add(.hint, "the gateway has to name a scope in Daypass-Require-Scope or /verify?scope=")
            case .tooManyModels:
                // Requirement.maximumModels
                fields.add(.hint, "the gateway may name at most 32 models in Daypass-Require-Model")
            case .token, .insufficientScope, .insufficientModel, .tooManyFailures, .overloaded: break
            }
        }
    }
}

/// The fields of our own words.
enum VerifyField {
    case cacheControl, challenge, hint, retryAfter

    var name: HTTPField.Name {
        switch self {
        case .cacheControl: .cacheControl
        case .challenge: .wwwAuthenticate
        case .hint: .daypassHint
        case .retryAfter: .retryAfter
        }
    }
}

/// Where fields of an answer are written to.
protocol VerifyFields {
    /// `Daypass-Subject`, `-Session`, `-Rule`, `-Scope` and `-Expires`.
    mutating func add(_ token: VerifiedToken)
    mutating func add(_ field: VerifyField, _ value: StaticString)
}

extension HTTPFields: VerifyFields {
    init(_ answer: VerifyAnswer) {
        self.init()
        answer.write(to: &self)
    }

    mutating func add(_ token: VerifiedToken) {
        append(HTTPField(name: .daypassSubject, value: HeaderValue.encode(token.subject).string))
        append(HTTPField(name: .daypassSession, value: HeaderValue.encode(token.sessionID).string))
        append(HTTPField(name: .daypassRule, value: HeaderValue.encode(token.rule).string))
        append(HTTPField(name: .daypassScope, value: Scope.text(token.scope).string))
        append(HTTPField(name: .daypassExpires, value: String(Int64(token.expiry))))
    }

    mutating func add(_ field: VerifyField, _ value: StaticString) {
        append(HTTPField(name: field.name, value: "\(value)"))
    }
}
