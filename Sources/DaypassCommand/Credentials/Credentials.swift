import ArgumentParser

/// `daypass credentials`
struct Credentials: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "The secrets that providers know the broker by.",
        discussion: """
            They are kept in versions: staged, active, draining, retired. Nothing gives a secret back.

            Example: daypass credentials list
            """,
        subcommands: [CredentialsAdd.self, CredentialsList.self, CredentialsPromote.self, CredentialsRetire.self])
}

/// The argument PROVIDER: it becomes a part of a path.
enum Provider {
    /// - Throws: in words that do not repeat it: it may be a secret that was given in its place.
    static func check(_ name: String) throws {
        let isPlain = name.utf8.allSatisfy {
            (0x61...0x7A).contains($0) || (0x30...0x39).contains($0) || $0 == UInt8(ascii: "-")
        }
        guard (1...63).contains(name.utf8.count), isPlain, (0x61...0x7A).contains(name.utf8.first ?? 0) else {
            throw ValidationError(
                "PROVIDER is a name such as anthropic: 1 to 63 small letters, digits and hyphens, a letter first.")
        }
    }
}
