extension AddressGroup {
    /// Whom a limit takes for one client: an IPv4 address, or a /64 of IPv6, of which every host has all addresses.
    package init(holderOf address: IPAddress) {
        self.init(of: address.unmapped, prefixIPv4: 32, prefixIPv6: 64)
    }

    /// What one customer may have all of: an IPv4 /24, or an IPv6 /48 (RFC 6177).
    package init(networkOf address: IPAddress) {
        self.init(of: address.unmapped, prefixIPv4: 24, prefixIPv6: 48)
    }

    /// What one registration got at once, for a provider and its millions of customers: an IPv6 /32. Nil for IPv4, of which
    /// nobody has more networks than he pays for.
    package init?(registrationOf address: IPAddress) {
        self.init(of: address.unmapped, prefixIPv4: 32, prefixIPv6: 32)
        guard isIPv6 else { return nil }
    }
}
