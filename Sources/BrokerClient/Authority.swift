/// The host and the port of a URL (RFC 3986 §3.2).
struct Authority: Sendable, Hashable {
    /// Without the brackets that an IPv6 address has.
    let host: String
    /// What stands behind the last colon; nil where there is none.
    let port: String?

    init(_ text: String) {
        // The colons of an IPv6 address are in brackets.
        let colon = text.lastIndex(of: ":").flatMap { text[$0...].contains("]") ? nil : $0 }
        let name = text[..<(colon ?? text.endIndex)]
        host = String(name.hasPrefix("[") && name.hasSuffix("]") ? name.dropFirst().dropLast() : name)
        port = colon.map { String(text[$0...].dropFirst()) }
    }
}
