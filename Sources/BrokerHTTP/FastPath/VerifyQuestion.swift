import Broker
import Glibc
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
        guard authorization.count <= 1, apiKey.count <= 1 else { return .ambiguous }
        let text: String? = withBytes(of: authorization.first) { authorization in
            withBytes(of: apiKey.first) { apiKey in
                Self.token(authorization: authorization, apiKey: apiKey).map { String(decoding: $0, as: UTF8.self) }
            }
        }
        guard let text else { return .ambiguous }
        return .token(SecretText(text))
    }

    private static func withBytes<Value>(
        of text: String?, _ body: (UnsafeRawBufferPointer?) -> Value
    ) -> Value {
        guard var text else { return body(nil) }
        return text.withUTF8 { body(UnsafeRawBufferPointer($0)) }
    }

    /// The token in the values of the two headers; nil where they are not one token.
    static func token(
        authorization: UnsafeRawBufferPointer?, apiKey: UnsafeRawBufferPointer?
    ) -> UnsafeRawBufferPointer? {
        guard let authorization else { return apiKey.flatMap { $0.isEmpty ? nil : $0 } }
        guard let token = bearer(authorization), !token.isEmpty else { return nil }
        guard let apiKey else { return token }
        guard let left = token.baseAddress, let right = apiKey.baseAddress, token.count == apiKey.count,
            memcmp(left, right, token.count) == 0
        else { return nil }
        return token
    }

    /// What stands behind `Bearer` and spaces; nil behind another scheme.
    private static func bearer(_ value: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer? {
        let scheme: StaticString = "bearer"
        let length = scheme.utf8CodeUnitCount
        guard value.count >= length else { return nil }
        for index in 0..<length where value[index] | 0x20 != scheme.utf8Start[index] { return nil }
        var start = length
        while start < value.count, value[start] == UInt8(ascii: " ") { start += 1 }
        guard start > length || value.count == length else { return nil }
        return UnsafeRawBufferPointer(rebasing: value[start...])
    }

    /// Of headers and query together, in bytes: 64 scopes of the greatest length fit.
    static let maximumRequirementLength = 12 * 1024

    /// What the gateway requires: its headers, and its query.
    /// - Returns: nil when it cannot be read.
    static func requirement(scopes: [String], models: [String], query: String?) -> Requirement? {
        let length = (scopes + models).reduce(query?.utf8.count ?? 0) { $0 + $1.utf8.count }
        guard length <= maximumRequirementLength else { return nil }
        var (scopes, models) = (scopes, models)
        if let query {
            guard let form = try? FormBody(parsing: Array(query.utf8)) else { return nil }
            if let scope = form["scope"] { scopes.append(scope.string) }
            if let model = form["model"] { models.append(model.string) }
        }
        let scopeTexts = elements(scopes, maximum: Scope.maximumCount)
        guard let required = Scope.list(parsing: scopeTexts.joined(separator: " ")) else { return nil }
        let modelTexts = elements(models, maximum: Requirement.maximumModels)
        return Requirement(scopes: required, models: modelTexts.map { ExactString($0) })
    }

    /// The elements of lists, or more than `maximum` where there are more.
    private static func elements(_ fields: [String], maximum: Int) -> [String] {
        var elements: [String] = []
        for field in fields where elements.count <= maximum {
            elements += field.split(maxSplits: maximum) { $0 == " " || $0 == "," }.map(String.init)
        }
        return elements
    }
}
