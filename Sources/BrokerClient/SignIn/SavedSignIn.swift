package import FoundationEssentials

/// A developer's sign-in at one broker, as this machine keeps it.
package struct SavedSignIn: Sendable, Hashable {
    /// Where its refresh token is.
    package enum Keeping: Sendable, Hashable {
        case file(TokenText)
        case secretService
    }

    /// Of this sign-in alone, made here: 32 hexadecimal digits.
    package let id: String
    package let origin: String
    /// Whose it is, for show.
    package let email: String?
    /// In milliseconds since 1970.
    package let since: Int64
    package let keeping: Keeping

    init(id: String, origin: String, email: String?, since: Int64, keeping: Keeping) {
        (self.id, self.origin, self.email) = (id, origin, email)
        (self.since, self.keeping) = (since, keeping)
    }

    static func newId() -> String {
        var random = SystemRandomNumberGenerator()
        return Fingerprint.hexadecimal(of: (0..<4).flatMap { _ in "\(random.next())".utf8 }).prefix(32).description
    }
}

/// The form of its file, in JSON.
extension SavedSignIn {
    private static let version = 1

    package func encoded() throws -> Data {
        var members: [String: JSON] = [
            "version": .integer(Int64(Self.version)), "id": .string(id), "broker": .string(origin),
            "since": .integer(since),
        ]
        if let email { members["email"] = .string(email) }
        switch keeping {
        case .file(let token):
            members["kept"] = .string("file")
            members["refresh_token"] = .string(token.reveal())
        case .secretService: members["kept"] = .string("secret-service")
        }
        return try JSON.object(members).encoded()
    }

    /// - Throws: an `UnusableEntry` where it cannot be used; why.
    package init(parsing bytes: [UInt8], of origin: String) throws(UnusableEntry) {
        guard let json = try? JSON(parsing: Data(bytes), depth: 1), let version = json["version"]?.count else {
            throw UnusableEntry(words: "is damaged")
        }
        guard version == Self.version else {
            throw UnusableEntry(words: "is of another version of this program (\(version))")
        }
        guard let id = json["id"]?.text, id.utf8.count == 32,
            id.utf8.allSatisfy({ (0x30...0x39).contains($0) || (0x61...0x66).contains($0) }),
            // What was given by one broker goes to no other.
            let broker = json["broker"]?.text, broker.utf8.elementsEqual(origin.utf8),
            let since = json["since"]?.count, since > 0
        else { throw UnusableEntry(words: "is damaged") }
        let keeping: Keeping
        switch json["kept"]?.text {
        case "file":
            guard let token = json["refresh_token"]?.text.flatMap({ TokenText($0) }) else {
                throw UnusableEntry(words: "is damaged")
            }
            keeping = .file(token)
        case "secret-service": keeping = .secretService
        default: throw UnusableEntry(words: "is damaged")
        }
        self.init(id: id, origin: origin, email: json["email"]?.text, since: Int64(since), keeping: keeping)
    }
}
