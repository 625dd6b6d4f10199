/// Where the broker listens, and what it grants each connection.
package struct ServerConfiguration: Sendable, Hashable {
    package var publicListener: ListenAddress
    /// Nil for plain HTTP.
    package var publicTLS: ListenerTLS?
    /// The origin that clients use, without a trailing slash.
    package var publicURL: String
    package var telemetryListener: ListenAddress
    /// The proxies that are believed when they say for whom they forward a request.
    package var trustedProxies: [AddressBlock]
    /// Nil where nobody administers this broker while it runs.
    package var administration: AdministrationConfiguration?
    package var limits: Limits

    package struct Limits: Sendable, Hashable {
        /// Open connections on the public listener; further ones wait.
        package var connections: Int
        /// At least 1.
        package var exchangesPerSecondPerAddress: Int
        /// Exchanges under way at once; one more is refused. A quarter of the records that may wait for the store, so that
        /// no exchange gets as far as that and has to fail there.
        package var exchangesUnderWay: Int

        package init(
            connections: Int = 10_000, exchangesPerSecondPerAddress: Int = 20, exchangesUnderWay: Int = 1024
        ) {
            self.connections = connections
            self.exchangesPerSecondPerAddress = exchangesPerSecondPerAddress
            self.exchangesUnderWay = exchangesUnderWay
        }
    }

    package init(
        publicListener: ListenAddress, publicTLS: ListenerTLS? = nil, publicURL: String,
        telemetryListener: ListenAddress, trustedProxies: [AddressBlock] = [],
        administration: AdministrationConfiguration? = nil, limits: Limits = Limits()
    ) {
        self.publicListener = publicListener
        self.publicTLS = publicTLS
        self.publicURL = publicURL
        self.telemetryListener = telemetryListener
        self.trustedProxies = trustedProxies
        self.administration = administration
        self.limits = limits
    }
}

/// A TCP address to listen on.
package struct ListenAddress: Sendable, Hashable, CustomStringConvertible {
    /// An IPv4 or IPv6 address as text, without brackets.
    package let host: String
    package let port: Int

    package init(host: String, port: Int) {
        self.host = host
        self.port = port
    }

    /// - Returns: nil unless `text` is `IPv4:PORT` or `[IPv6]:PORT`, the address a literal one, the port 0 to 65535
    ///   (0: any that is free).
    package init?(parsing text: String) {
        guard let colon = text.utf8.lastIndex(of: UInt8(ascii: ":")) else { return nil }
        var host = text[..<colon]
        let digits = text[text.utf8.index(after: colon)...]
        guard digits.utf8.allSatisfy({ (0x30...0x39).contains($0) }), let port = UInt16(digits) else { return nil }
        let isBracketed = host.hasPrefix("[") && host.hasSuffix("]")
        if isBracketed { host = host.dropFirst().dropLast() }
        guard let address = IPAddress(parsing: String(host)), isBracketed == address.isIPv6 else { return nil }
        self.init(host: String(host), port: Int(port))
    }

    /// Whether nothing beyond this machine can reach it.
    package var isLoopback: Bool {
        IPAddress(parsing: host)?.isLoopback ?? false
    }

    package var description: String {
        host.utf8.contains(UInt8(ascii: ":")) ? "[\(host)]:\(port)" : "\(host):\(port)"
    }
}
