import Broker
import HTTPTypes
import JOSE

/// What a gateway is told, as fields: once for all that write them.
enum VerifyAnswer: Sendable {
    case allowed(GatewayClaims)
    case refused(Denial)

    var status: HTTPResponse.Status {
        switch self {
        case .allowed: .ok
        // Agents fetch a new token then, and on 403 they do not.
        case .refused(.token): .unauthorized
        case .refused: .forbidden
        }
    }

    /// The fields in their order, without those that every answer has. There is never a body.
    func write(to fields: inout some VerifyFields) {
        switch self {
        case .allowed(let claims):
            fields.add(.subject, encoding: claims.subject)
            fields.add(.session, encoding: claims.sessionID)
            fields.add(.rule, encoding: claims.rule)
            fields.add(.scope, claims.scope)
            fields.add(.expires, Int64(claims.expiry))
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
            case .token, .insufficientScope, .insufficientModel: break
            }
        }
    }
}

/// The fields that answers to gateways have.
enum VerifyField {
    case subject, session, rule, scope, expires, cacheControl, challenge, hint

    var name: HTTPField.Name {
        switch self {
        case .subject: .daypassSubject
        case .session: .daypassSession
        case .rule: .daypassRule
        case .scope: .daypassScope
        case .expires: .daypassExpires
        case .cacheControl: .cacheControl
        case .challenge: .wwwAuthenticate
        case .hint: .daypassHint
        }
    }
}

/// Where fields of an answer are written to.
protocol VerifyFields {
    mutating func add(_ field: VerifyField, _ value: StaticString)
    /// Text from outside, which is encoded (`HeaderText`).
    mutating func add(_ field: VerifyField, encoding value: ExactString)
    mutating func add(_ field: VerifyField, _ scopes: [Scope])
    mutating func add(_ field: VerifyField, _ number: Int64)
}

extension HTTPFields: VerifyFields {
    init(_ answer: VerifyAnswer) {
        self.init()
        answer.write(to: &self)
    }

    mutating func add(_ field: VerifyField, _ value: StaticString) {
        append(HTTPField(name: field.name, value: "\(value)"))
    }

    mutating func add(_ field: VerifyField, encoding value: ExactString) {
        append(HTTPField(name: field.name, value: HeaderText.encode(value)))
    }

    mutating func add(_ field: VerifyField, _ scopes: [Scope]) {
        append(HTTPField(name: field.name, value: Scope.text(scopes).string))
    }

    mutating func add(_ field: VerifyField, _ number: Int64) {
        append(HTTPField(name: field.name, value: String(number)))
    }
}
