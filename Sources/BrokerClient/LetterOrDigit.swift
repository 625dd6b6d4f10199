extension UInt8 {
    /// Whether it is one of ASCII's.
    package var isLetterOrDigit: Bool {
        (0x30...0x39).contains(self) || (0x41...0x5A).contains(self) || (0x61...0x7A).contains(self)
    }
}

extension StringProtocol {
    /// Whether it is made of what names of variables are made of: letters, digits and underscores of ASCII.
    package var hasOnlyNameCharacters: Bool { utf8.allSatisfy { $0.isLetterOrDigit || $0 == 0x5F } }
}
