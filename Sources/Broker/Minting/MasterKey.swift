import FoundationEssentials
package import JOSE
package import OpenSSL

/// The key that seals everything secret at rest (KEK). It is kept in a file and never in the store.
package struct MasterKey: Sendable {
    /// Names the key without telling anything about it; each sealed value carries it.
    package let id: ExactString
    private let key: AESGCMKey

    /// A new key and the text of the file that holds it.
    package static func generate() throws(OpenSSLError) -> (MasterKey, file: SecretBytes) {
        var bytes = try SecureRandom.bytes(AESGCMKey.length)
        var text = Array("\(prefix)\(Base64URL.encode(bytes))\n".utf8)
        let key = MasterKey(SecretBytes(moving: &bytes))
        guard let key else { preconditionFailure("a key of the right length is a key") }
        return (key, file: SecretBytes(moving: &text))
    }

    /// The key that a file holds.
    package init(file: SecretBytes) throws(MasterKeyFailure) {
        var bytes = try file.withSpan { span throws(MasterKeyFailure) in
            var text = (0..<span.count).map { span[$0] }
            if text.last == UInt8(ascii: "\n") { text.removeLast() }
            guard text.starts(with: Self.prefix.utf8),
                let bytes = try? Base64URL.decode(text[Self.prefix.utf8.count...])
            else { throw .format }
            return bytes
        }
        guard let key = MasterKey(SecretBytes(moving: &bytes)) else { throw .format }
        self = key
    }

    private init?(_ bytes: SecretBytes) {
        guard let key = AESGCMKey(bytes) else { return nil }
        self.key = key
        let digest = bytes.withSpan { span in
            HashAlgorithm.sha256.digest(Array("daypass master key id\0".utf8) + (0..<span.count).map { span[$0] })
        }
        id = ExactString(Base64URL.encode(Array(digest.prefix(12))))
    }

    /// `plaintext` sealed for exactly one place.
    package func seal(_ plaintext: SecretBytes, for place: SealedPlace) throws(OpenSSLError) -> [UInt8] {
        try plaintext.withSpan { span throws(OpenSSLError) in
            try key.seal(span, associatedData: place.associatedData(masterKeyID: id))
        }
    }

    /// What was sealed for this place with this key.
    package func open(_ sealed: [UInt8], from place: SealedPlace) throws(OpenSSLError) -> SecretBytes {
        try key.open(sealed.span, associatedData: place.associatedData(masterKeyID: id))
    }

    private static let prefix = "daypass-master-key-v1:"
}

/// Where a sealed value belongs. It is part of what is authenticated, so that no sealed value opens in another's place.
package struct SealedPlace: Sendable {
    package let purpose: String
    package let table: String
    package let id: String
    package let version: Int

    package init(purpose: String, table: String, id: String, version: Int) {
        self.purpose = purpose
        self.table = table
        self.id = id
        self.version = version
    }

    /// format ‖ purpose ‖ table ‖ id ‖ version ‖ master key id, each behind its length, so that no two lists of parts
    /// read alike.
    func associatedData(masterKeyID: ExactString) -> [UInt8] {
        var data: [UInt8] = []
        for part in ["daypass-sealed-v1", purpose, table, id, String(version), masterKeyID.string] {
            let bytes = Array(part.utf8)
            unsafe withUnsafeBytes(of: UInt32(bytes.count).bigEndian) { unsafe data.append(contentsOf: $0) }
            data += bytes
        }
        return data
    }
}

package enum MasterKeyFailure: Error, Sendable, CustomStringConvertible {
    case format

    package var description: String {
        "the file holds no master key: one line, daypass-master-key-v1: and 43 characters of base64url"
    }
}
