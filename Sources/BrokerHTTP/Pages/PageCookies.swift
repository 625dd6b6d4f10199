import HTTPTypes
import JOSE

/// The two cookies of the pages. Over https no other host, not even one below ours, can set them: `__Host-` (RFC 6265bis
/// §4.1.3.2).
struct PageCookies: Sendable {
    /// Of the origin that browsers use.
    let isSecure: Bool

    enum Name: String {
        /// Which browser it is: 256 random bits, which forms are tied to.
        case browser = "daypass-browser"
        /// A sign-in that is under way at the provider, sealed.
        case attempt = "daypass-sign-in"
    }

    private func text(_ name: Name) -> String { isSecure ? "__Host-\(name.rawValue)" : name.rawValue }

    /// The value that the browser sent; nil where it sent none, or two.
    func value(_ name: Name, in headers: HTTPFields) -> ExactString? {
        let prefix = text(name) + "="
        let found = headers[values: .cookie].flatMap { $0.split(separator: ";") }
            .map { $0.drop { $0 == " " } }.filter { $0.hasPrefix(prefix) }
        guard found.count == 1, found[0].utf8.count <= 2048 else { return nil }
        return ExactString(String(found[0].dropFirst(prefix.count)))
    }

    /// A form of another site does not even bring the browser's cookie along; the return from the provider, which is
    /// another site, has to bring its own.
    func setting(_ name: Name, to value: String) -> String {
        let (site, age) = name == .browser ? ("Strict", 3600) : ("Lax", 600)
        return field(name, value, site, age)
    }

    func clearing(_ name: Name) -> String { field(name, "", "Lax", 0) }

    private func field(_ name: Name, _ value: String, _ site: String, _ age: Int) -> String {
        "\(text(name))=\(value); Path=/; Max-Age=\(age); HttpOnly; SameSite=\(site)\(isSecure ? "; Secure" : "")"
    }
}
