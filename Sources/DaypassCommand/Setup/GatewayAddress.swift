import BrokerClient

/// Where a client sends its requests.
enum GatewayAddress {
    /// Whether it is Anthropic's or OpenAI's own: a gateway token is nothing there, and no business of theirs.
    static func isProviders(_ url: String) -> Bool {
        let parts = url.lowercased().split(separator: "/", maxSplits: 3, omittingEmptySubsequences: false)
        guard parts.count >= 3 else { return false }
        let host = parts[2].split(separator: "@").last?.prefix { $0 != ":" } ?? ""
        return ["anthropic.com", "openai.com"].contains { host == $0 || host.hasSuffix(".\($0)") }
    }

    /// - Returns: its origin and its path; nil unless it is https, or http of a loopback host: in the clear tokens would be
    ///   anybody's.
    static func parts(_ url: String) -> (origin: String, path: String)? {
        let parts = url.split(separator: "/", maxSplits: 3, omittingEmptySubsequences: false)
        let path = parts.count > 3 ? String(parts[3]) : ""
        guard parts.count >= 3, let origin = BrokerAddress.origin(parsing: parts.prefix(3).joined(separator: "/")),
            path.utf8.allSatisfy({ (0x21...0x7E).contains($0) && ![0x22, 0x23, 0x3F, 0x5C].contains($0) })
        else { return nil }
        return (origin, path)
    }
}
