import BrokerClient
import FoundationEssentials

/// What a signed token says of itself, without any proof: to tell somebody why it would be refused, and for nothing else.
struct UnverifiedClaims {
    let issuer: String?
    let audiences: [String]
    let end: Date?

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
        switch json["exp"] {
        case .integer(let seconds): end = Date(timeIntervalSince1970: Double(seconds))
        case .number(let seconds): end = Date(timeIntervalSince1970: seconds)
        default: end = nil
        }
    }
}
