import BrokerClient
import FoundationEssentials

/// What a signed token says of itself, without any proof: to tell somebody why it would be refused, and for nothing else.
struct UnverifiedClaims {
    let issuer: String?
    let audiences: [String]
    let start: Date?
    let end: Date?
    /// Of a gateway token: its rule, and the scopes, space separated.
    let rule: String?
    let scope: String?

    /// - Returns: nil for what has not the form of a signed token.
    init?(of token: String) {
        let parts = token.split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count == 3 else { return nil }
        let text = parts[1].replacing("-", with: "+").replacing("_", with: "/")
        let padding = String(repeating: "=", count: (4 - text.count % 4) % 4)
        guard let bytes = Data(base64Encoded: String(text) + padding), let json = try? JSON(parsing: bytes),
            case .object = json
        else { return nil }
        issuer = json["iss"]?.text
        audiences = json["aud"]?.text.map { [$0] } ?? json.list("aud").compactMap(\.text)
        (start, end) = (Self.date(json["nbf"]), Self.date(json["exp"]))
        (rule, scope) = (json["rule"]?.text, json["scope"]?.text)
    }

    /// - Returns: nil for what is no moment before the year 10000.
    private static func date(_ value: JSON?) -> Date? {
        let seconds: Double? =
            switch value {
            case .integer(let seconds): Double(seconds)
            case .number(let seconds): seconds
            default: nil
            }
        guard let seconds, (0..<253_402_300_800).contains(seconds) else { return nil }
        return Date(timeIntervalSince1970: seconds)
    }
}
