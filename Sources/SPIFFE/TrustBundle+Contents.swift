extension TrustBundle {
    /// A bundle in either form, as a file has it: text that begins with `{` is SPIFFE's own JSON, everything else PEM.
    package init(contents: [UInt8], of trustDomain: TrustDomain) throws(TrustBundleFailure) {
        let first = contents.first { $0 != 0x20 && $0 != 0x09 && $0 != 0x0A && $0 != 0x0D }
        if first == UInt8(ascii: "{") {
            try self.init(parsing: contents, of: trustDomain)
        } else {
            try self.init(pem: contents, of: trustDomain)
        }
    }
}

extension BundleEntryFailure {
    /// Whether the entry is for somebody else: of a use or a type that is not ours to know (Trust Domain and Bundle §4.2).
    package var isForeign: Bool { self == .use || self == .type }
}
