extension AddressGroup {
    /// Whom a limit takes for one client: an IPv4 address, or a /64 of IPv6, of which every host has all addresses.
    package init(holderOf address: IPAddress) {
        self.init(of: address.unmapped, prefixIPv4: 32, prefixIPv6: 64)
    }

    /// Whom one registration got at once: an IPv4 /24 or an IPv6 /32.
    package init(networkOf address: IPAddress) {
        self.init(of: address.unmapped, prefixIPv4: 24, prefixIPv6: 32)
    }
}
