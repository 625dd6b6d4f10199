import Foundation

/// A signature file of Wycheproof: groups of vectors under one key.
package struct SignatureVectors: Decodable, Sendable {
    package let numberOfTests: Int
    package let testGroups: [Group]

    package struct Group: Decodable, Sendable {
        /// In hexadecimal, a SubjectPublicKeyInfo.
        package let publicKeyDer: String
        package let publicKeyPem: String
        package let sha: String?
        package let mgfSha: String?
        package let sLen: Int?
        package let tests: [Vector]
    }

    package struct Vector: Decodable, Sendable {
        package let tcId: Int
        package let comment: String
        package let flags: [String]
        package let result: String
        private let msg: String
        private let sig: String

        package var message: [UInt8] { [UInt8](hexadecimal: msg) }
        package var signature: [UInt8] { [UInt8](hexadecimal: sig) }
        /// "acceptable" stands for what only a lenient verifier takes.
        package var isValid: Bool { result == "valid" }
    }

    package init(file: String) throws {
        self = try JSONDecoder().decode(Self.self, from: VectorFiles.data("wycheproof/\(file)_test.json"))
    }
}

extension [UInt8] {
    /// The bytes that pairs of hexadecimal digits spell.
    package init(hexadecimal text: String) {
        let digits = text.compactMap(\.hexDigitValue)
        precondition(digits.count == text.count && digits.count % 2 == 0, "not hexadecimal: \(text)")
        self = stride(from: 0, to: digits.count, by: 2).map { UInt8(digits[$0] << 4 | digits[$0 + 1]) }
    }

    package var hexadecimal: String {
        map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
    }
}
