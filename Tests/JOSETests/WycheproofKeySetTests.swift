import Foundation
import JOSE
import OpenSSL
import Testing

/// Wycheproof's key sets, the whole file: each vector is presented as a token to a holder of the set.
@Suite struct WycheproofKeySetTests {
    enum Outcome: Sendable, Equatable {
        case verified
        /// By design: there is no symmetric algorithm.
        case symmetric
        /// The key is refused for this reason; the token then finds no key.
        case keyRefused(JWKFailure)
        /// The point is not on the curve, which OpenSSL finds.
        case keyRefusedByOpenSSL
    }

    static let expected: [Int: Outcome] = [
        1: .symmetric, 2: .symmetric, 3: .symmetric, 4: .symmetric,
        5: .verified,
        6: .keyRefused(.notForSignatures),
        7: .keyRefused(.key(.rsaROCA)),
        8: .keyRefused(.key(.rsaSize(bits: 1024))),
        9: .keyRefused(.key(.rsaExponent)),
        10: .symmetric, 11: .symmetric, 12: .symmetric, 13: .symmetric, 14: .symmetric, 15: .symmetric,
        16: .symmetric, 17: .symmetric, 18: .symmetric,
        19: .keyRefused(.algorithm),
        20: .keyRefused(.algorithm),
        21: .keyRefused(.notForSignatures),
        22: .keyRefusedByOpenSSL,
        23: .keyRefused(.key(.length)),
        24: .keyRefused(.member("n")),
        25: .symmetric, 26: .symmetric,
    ]

    @Test func `one vector verifies, ten are refused with their keys and fifteen symmetric ones by design`() throws {
        let file = try JSONFile.object("wycheproof/json_web_key_test.json")
        var outcomes: [Int: Outcome] = [:]
        for group in try #require(file["testGroups"] as? [[String: Any]]) {
            let json = try JSONFile.bytes(#require(group["public"] ?? group["private"]))
            let set = try JWKSet(parsing: json)
            for vector in try #require(group["tests"] as? [[String: Any]]) {
                let id = try #require(vector["tcId"] as? Int)
                let token = try #require(vector["jws"] as? String)
                outcomes[id] = try Self.outcome(of: token, with: set)
                if vector["result"] as? String == "invalid" { #expect(outcomes[id] != .verified) }
            }
        }
        for (id, outcome) in Self.expected { #expect(outcomes[id] == outcome, "\(id)") }
        #expect(outcomes.count == file["numberOfTests"] as? Int)
        #expect(Self.expected.count == 26)
        #expect(outcomes.values.count { $0 == .verified } == 1)
        #expect(outcomes.values.count { $0 == .symmetric } == 15)
    }

    static func outcome(of token: String, with set: JWKSet) throws -> Outcome {
        let header = try #require(token.split(separator: ".").first)
        let members = try JSONReader.readObject(Base64URL.decode(ExactString(String(header))))
        let algorithm = try #require(members["alg"]?.string)
        let keyID = try #require(members["kid"]?.string)
        if algorithm.string.hasPrefix("HS") {
            #expect(throws: JWSFailure.algorithm) { try CompactJWS(token) }
            #expect(set.keys[keyID] == nil)
            return .symmetric
        }
        guard let key = set.keys[keyID] else {
            #expect(set.keys.isEmpty)
            let reason = try #require(set.ignored.first).reason
            if case .key(.openSSL) = reason { return .keyRefusedByOpenSSL }
            return .keyRefused(reason)
        }
        _ = try CompactJWS(token).verified(with: key)
        return .verified
    }
}
