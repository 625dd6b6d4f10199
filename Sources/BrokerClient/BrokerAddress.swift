/// Where a broker is administered, and with what proof.
package enum BrokerAddress: Sendable {
    /// A Unix socket; who may use it, the broker decides by its peer's user.
    case socket(path: String)
    /// An origin without a slash at its end; the bearer token; the PEM file of the authorities that are trusted, the
    /// system's where it is nil.
    case url(String, token: String, authorities: String?)

    /// - Returns: nil unless `url` is an https origin, or an http one of a loopback host.
    package init?(url: String, token: String, authorities: String? = nil) {
        guard let origin = Self.origin(parsing: url) else { return nil }
        self = .url(origin, token: token, authorities: authorities)
    }

    /// - Parameter origin: as `origin(parsing:)` returns it.
    /// - Returns: its host without brackets; nil unless it is an https one.
    static func secureHost(of origin: String) -> String? {
        guard origin.hasPrefix("https://") else { return nil }
        return Authority(String(origin.dropFirst("https://".count))).host
    }

    /// - Returns: the origin without a slash at its end; nil unless `url` is an https one, or an http one of a loopback host.
    package static func origin(parsing url: String) -> String? {
        var origin = Substring(url)
        if origin.hasSuffix("/") { origin.removeLast() }
        guard let scheme = ["https://", "http://"].first(where: { origin.hasPrefix($0) }) else { return nil }
        let place = origin.dropFirst(scheme.count)
        let isPlain = place.utf8.allSatisfy {
            $0.isLetterOrDigit || [0x2D, 0x2E, 0x3A, 0x5B, 0x5D].contains($0)
        }
        guard !place.isEmpty, isPlain else { return nil }
        if scheme == "http://" {
            // In the clear the token would be anybody's.
            let hosts = ["localhost", "127.0.0.1", "[::1]"]
            guard hosts.contains(where: { place == $0 || place.hasPrefix("\($0):") }) else { return nil }
        }
        return String(origin)
    }
}
