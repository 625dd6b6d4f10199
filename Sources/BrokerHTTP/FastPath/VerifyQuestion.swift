import Broker
import HTTPTypes
import JOSE

/// What a gateway asks: may the holder of this token have what is required here? Read the same way whoever parsed the
/// request.
struct VerifyQuestion: Sendable {
    enum Credential: Sendable {
        case none
        /// Two that differ, or one that says something else: a gateway and its upstream must not be able to disagree about
        /// which counts.
        case ambiguous
        case token(SecretText)
    }

    let credential: Credential
    /// Nil where it cannot be read; it is then not met.
    let requirement: Requirement?

    init(credential: Credential, requirement: Requirement?) {
        self.credential = credential
        self.requirement = requirement
    }

    /// - Parameter query: that of exactly `/verify`, where the gateway writes it; nil below, where it is the client's.
    init(_ headers: HTTPFields, query: String?) {
        credential = Self.credential(headers)
        requirement = Self.requirement(
            scopes: headers[values: .requireScope], models: headers[values: .requireModel], query: query)
    }

    /// Whether a path is one at which gateways ask.
    static func isAsked(at path: String) -> Bool {
        path == "/verify" || path.hasPrefix("/verify/")
    }

    /// The token of `Authorization: Bearer` (RFC 6750 §2.1) or `x-api-key`; Claude Code sends both, alike.
    static func credential(_ headers: HTTPFields) -> Credential {
        let authorization = headers[values: .authorization]
        let apiKey = headers[values: .apiKey]
        if authorization.isEmpty, apiKey.isEmpty { return .none }
        guard authorization.count <= 1, apiKey.count <= 1,
            let token = token(authorization: authorization.first?.utf8, apiKey: apiKey.first?.utf8)
        else { return .ambiguous }
        return .token(SecretText(String(Substring(token))))
    }

    /// The token in the values of the two headers; nil where they are not one token.
    static func token<Value: Collection>(authorization: Value?, apiKey: Value?) -> Value.SubSequence?
    where Value.Element == UInt8 {
        let space = UInt8(ascii: " ")
        var token: Value.SubSequence?
        if let authorization {
            let scheme = authorization.prefix { $0 != space }
            guard scheme.elementsEqual("bearer".utf8, by: { $0 | 0x20 == $1 }) else { return nil }
            token = authorization[scheme.endIndex...].drop { $0 == space }
        }
        if let apiKey {
            if let token, !token.elementsEqual(apiKey) { return nil }
            token = apiKey[...]
        }
        guard let token, !token.isEmpty else { return nil }
        return token
    }

    /// What the gateway requires: its headers, and its query.
    /// - Returns: nil when it cannot be read.
    static func requirement(scopes: [String], models: [String], query: String?) -> Requirement? {
        var (scopes, models) = (scopes, models)
        if let query {
            guard let form = try? FormBody(parsing: Array(query.utf8)) else { return nil }
            if let scope = form["scope"] { scopes.append(scope.string) }
            if let model = form["model"] { models.append(model.string) }
        }
        guard let required = Scope.list(parsing: elements(scopes).joined(separator: " ")) else { return nil }
        return Requirement(scopes: required, models: elements(models).map { ExactString($0) })
    }

    private static func elements(_ fields: [String]) -> [String] {
        fields.flatMap { $0.split { $0 == " " || $0 == "," }.map(String.init) }
    }
}
