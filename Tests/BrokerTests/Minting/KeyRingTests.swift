import Broker
import Foundation
import JOSE
import OpenSSL
import Testing

@Suite struct KeyRingTests {
    private func record(
        _ state: SigningKeyRecord.State, _ masterKey: MasterKey, algorithm: JWSAlgorithm = .ES256
    ) throws -> SigningKeyRecord {
        try SigningKey.generate(algorithm, state: state, sealedWith: masterKey, at: Fixture.now)
    }

    private func altered(
        _ record: SigningKeyRecord, keyID: ExactString? = nil, algorithm: JWSAlgorithm? = nil, sealed: [UInt8]? = nil,
        masterKeyID: ExactString? = nil
    ) -> SigningKeyRecord {
        SigningKeyRecord(
            keyID: keyID ?? record.keyID, algorithm: algorithm ?? record.algorithm, state: record.state,
            sealed: sealed ?? record.sealed, masterKeyID: masterKeyID ?? record.masterKeyID, created: record.created)
    }

    private func failure(_ records: [SigningKeyRecord], _ masterKey: MasterKey) -> String? {
        do throws(KeyRingFailure) {
            _ = try KeyRing(opening: records, with: masterKey)
            return nil
        } catch {
            return error.description
        }
    }

    @Test(arguments: [JWSAlgorithm.ES256, .EdDSA])
    func `the active key signs, and all keys are published in their order`(algorithm: JWSAlgorithm) throws {
        let (masterKey, _) = try MasterKey.generate()
        let records = [
            try record(.staged, masterKey, algorithm: algorithm), try record(.active, masterKey, algorithm: algorithm),
        ]
        let ring = try KeyRing(opening: records, with: masterKey)
        #expect(ring.active.jwk.keyID == records[1].keyID)
        #expect(Set(ring.published.keys) == Set(records.map(\.keyID)))
        let set = try JWKSet(parsing: ring.jwks)
        #expect(set.keys.count == 2)
        #expect(set.ignored.isEmpty)
        let published = try #require(JSONReader.readObject(ring.jwks)["keys"]?.array)
        #expect(published.map { $0.object?["kid"]?.string } == records.map(\.keyID))
        #expect(published.allSatisfy { $0.object?["alg"]?.string?.string == algorithm.rawValue })
        #expect(published.allSatisfy { $0.object?["use"] == "sig" })
    }

    @Test func `nothing private is published`() throws {
        let ring = try Fixture.keyRing()
        let keys = try #require(JSONReader.readObject(ring.jwks)["keys"]?.array)
        #expect(
            keys.allSatisfy {
                Set($0.object?.members.map(\.name) ?? []) == ["crv", "kty", "x", "y", "use", "kid", "alg"]
            })
    }

    @Test func `a key's id is its thumbprint`() throws {
        let ring = try Fixture.keyRing()
        #expect(ring.active.jwk.keyID == JWK.thumbprint(of: ring.active.jwk.publicKey))
        #expect(ring.active.signer.keyID == ring.active.jwk.keyID)
    }

    @Test func `a ring without an active key, or with two, is none`() throws {
        let (masterKey, _) = try MasterKey.generate()
        #expect(failure([], masterKey)?.contains("no active signing key") == true)
        #expect(failure([try record(.staged, masterKey)], masterKey)?.contains("no active signing key") == true)
        let two = [try record(.active, masterKey), try record(.active, masterKey)]
        #expect(failure(two, masterKey) == "the store has 2 active signing keys; there must be one")
    }

    @Test func `another master key is told apart from damage, by both ids`() throws {
        let (masterKey, other) = (try MasterKey.generate().0, try MasterKey.generate().0)
        let record = try record(.active, masterKey)
        let message = try #require(failure([record], other))
        #expect(message.contains("sealed with master key \(masterKey.id)"))
        #expect(message.contains("holds \(other.id)"))
    }

    @Test func `a record that names a master key that did not seal it is damaged`() throws {
        let (masterKey, other) = (try MasterKey.generate().0, try MasterKey.generate().0)
        let record = altered(try record(.active, masterKey), masterKeyID: other.id)
        #expect(failure([record], other)?.contains("altered or damaged") == true)
    }

    @Test func `the sealed key of one row does not open in another's`() throws {
        let (masterKey, _) = try MasterKey.generate()
        let (a, b) = (try record(.active, masterKey), try record(.staged, masterKey))
        #expect(failure([a, b], masterKey) == nil)
        let swapped = [altered(a, sealed: b.sealed), altered(b, sealed: a.sealed)]
        #expect(failure(swapped, masterKey) == "signing key \(a.keyID) does not open: its row was altered or damaged")
        #expect(failure([altered(a, keyID: b.keyID)], masterKey)?.contains("altered or damaged") == true)
    }

    @Test func `a damaged row is refused, wherever it is damaged`() throws {
        let (masterKey, _) = try MasterKey.generate()
        let record = try record(.active, masterKey)
        for index in stride(from: 0, to: record.sealed.count, by: 7) {
            var sealed = record.sealed
            sealed[index] ^= 0x10
            #expect(failure([altered(record, sealed: sealed)], masterKey)?.contains("altered or damaged") == true)
        }
        #expect(failure([altered(record, sealed: [])], masterKey)?.contains("altered or damaged") == true)
    }

    @Test func `a row whose algorithm does not fit its key is refused`() throws {
        let (masterKey, _) = try MasterKey.generate()
        for algorithm: JWSAlgorithm in [.RS256, .ES384, .EdDSA] {
            let record = altered(try record(.active, masterKey), algorithm: algorithm)
            #expect(failure([record], masterKey)?.contains("altered or damaged") == true)
        }
    }

    @Test func `something else that was rightly sealed in a key's place is no key`() throws {
        let (masterKey, _) = try MasterKey.generate()
        let record = try record(.active, masterKey)
        let place = SealedPlace(purpose: "signing-key", table: "signing_keys", id: record.keyID.string, version: 1)
        let other = try PrivateKey.generate(.ellipticCurve(.p256)).pkcs8()
        for secret in [other, SecretBytes(copying: [1, 2, 3].span), SecretBytes(copying: [UInt8]().span)] {
            let sealed = try masterKey.seal(secret, for: place)
            #expect(failure([altered(record, sealed: sealed)], masterKey)?.contains("altered or damaged") == true)
        }
    }

    @Test(arguments: JWSAlgorithm.allCases.filter { $0 != .ES256 && $0 != .EdDSA })
    func `no signing key is made for an algorithm that we do not sign with`(algorithm: JWSAlgorithm) throws {
        let (masterKey, _) = try MasterKey.generate()
        #expect(throws: KeyRingFailure.self) { try record(.active, masterKey, algorithm: algorithm) }
    }

    @Test func `no failure shows a sealed byte`() throws {
        let (masterKey, _) = try MasterKey.generate()
        let record = try record(.active, masterKey)
        let message = try #require(failure([altered(record, sealed: Array(record.sealed.dropLast()))], masterKey))
        #expect(!message.contains(Base64URL.encode(Array(record.sealed.prefix(6)))))
    }
}
