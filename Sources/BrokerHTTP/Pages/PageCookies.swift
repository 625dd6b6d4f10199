import HTTPTypes
import JOSE

/// The cookies of the pages. Over https no other host, not even one below ours, can set them: `__Host-` (RFC 6265bis
/// §4.1.3.2).
struct PageCookies: Sendable {
    /// In bytes: what browsers keep.
    static let maximumLength = 4096

    /// Of the origin that browsers use.
    let isSecure: Bool

    enum Name: Hashable {
        /// Which browser it is: 256 random bits, which forms are tied to.
        case browser
        /// A sign-in that is under way at the provider, or what became of it, sealed; by the tag of its state.
        case attempt(String)
        /// Who sees his own sessions, sealed.
        case visit

        fileprivate static let attemptPrefix = "daypass-sign-in-"

        fileprivate var text: String {
            switch self {
            case .browser: "daypass-browser"
            case .attempt(let tag): Self.attemptPrefix + tag
            case .visit: "daypass-sessions"
            }
        }

        /// In seconds: somebody may think for an hour over a form.
        fileprivate var life: Int64 {
            switch self {
            case .browser: 3600
            case .attempt: BrowserBinding.life.components.seconds
            case .visit: BrowserBinding.visitLife.components.seconds
            }
        }
    }

    private var prefix: String { isSecure ? "__Host-" : "" }

    /// The value that the browser sent; nil where it sent none, or two.
    func value(_ name: Name, in headers: HTTPFields) -> ExactString? {
        let wanted = prefix + name.text
        let found = pairs(headers).filter { $0.name == wanted }
        guard found.count == 1, found[0].value.utf8.count <= Self.maximumLength else { return nil }
        return ExactString(found[0].value)
    }

    /// All sign-ins that this browser carries, with their tags.
    func attempts(in headers: HTTPFields) -> [(tag: String, value: ExactString)] {
        let wanted = prefix + Name.attemptPrefix
        return pairs(headers).filter { $0.name.hasPrefix(wanted) && $0.value.utf8.count <= Self.maximumLength }
            .map { (String($0.name.dropFirst(wanted.count)), ExactString($0.value)) }
            .filter { tag, _ in tag.utf8.allSatisfy { Self.isOfTag($0) } }
    }

    private static func isOfTag(_ byte: UInt8) -> Bool {
        switch byte {
        case 0x30...0x39, 0x41...0x5A, 0x61...0x7A, UInt8(ascii: "-"), UInt8(ascii: "_"): true
        default: false
        }
    }

    private func pairs(_ headers: HTTPFields) -> [(name: String, value: String)] {
        headers[values: .cookie].flatMap { $0.split(separator: ";") }.compactMap { text in
            let pair = text.drop { $0 == " " }.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            return pair.count == 2 ? (String(pair[0]), String(pair[1])) : nil
        }
    }

    /// A form of another site does not bring them along; the return from the provider, which is another site, does.
    func setting(_ name: Name, to value: String) -> String { field(name, value, name.life) }

    func clearing(_ name: Name) -> String { field(name, "", 0) }

    private func field(_ name: Name, _ value: String, _ age: Int64) -> String {
        "\(prefix)\(name.text)=\(value); Path=/; Max-Age=\(age); HttpOnly; SameSite=Lax\(isSecure ? "; Secure" : "")"
    }
}
