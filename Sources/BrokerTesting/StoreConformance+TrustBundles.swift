import Broker
import FoundationEssentials
import JOSE
import SPIFFE

extension StoreConformance {
    static func bundlesComeBack(_ store: any Store) async throws {
        let (prod, test) = (try TrustDomain(parsing: "prod.example.com"), try TrustDomain(parsing: "test.example.com"))
        try expect(try await store.trustBundle(of: prod) == nil, "a new store has a trust bundle")
        let records = [
            bundle(of: prod, sequence: nil), bundle(of: prod, sequence: 7), bundle(of: prod, sequence: .max),
            bundle(of: prod, sequence: .max, sealed: []),
        ]
        for record in records {
            try await store.keep(record)
            try expect(try await store.trustBundle(of: prod) == record, "\(record) came back otherwise")
        }
        try expect(try await store.trustBundle(of: test) == nil, "another trust domain has the bundle")
        try await store.keep(bundle(of: test, sequence: 1))
        try expect(try await store.trustBundle(of: prod) == records.last, "the bundle of another domain took its place")
    }

    static func bundlesNeverGoBack(_ store: any Store) async throws {
        let prod = try TrustDomain(parsing: "prod.example.com")
        // As text 9 would be the higher one.
        let kept = bundle(of: prod, sequence: 10)
        try await store.keep(kept)
        for sequence in [9, 0, nil] as [UInt64?] {
            let older = bundle(of: prod, sequence: sequence, sealed: [9])
            try await expect(.conflict, "an older bundle") { () async throws(StoreFailure) in
                try await store.keep(older)
            }
            try expect(try await store.trustBundle(of: prod) == kept, "an older bundle was stored")
        }
    }

    static func bundlesOfEndpoints(_ store: any Store) async throws {
        let prod = try TrustDomain(parsing: "prod.example.com")
        try await store.keep(bundle(of: prod, sequence: 10))
        let other = bundle(of: prod, at: "https_web https://b.example.com/", sequence: 1)
        try await store.keep(other)
        try expect(try await store.trustBundle(of: prod) == other, "the new endpoint's bundle was not stored")
    }

    private static func bundle(
        of domain: TrustDomain, at endpoint: ExactString = "https_web https://a.example.com/bundle?x=1",
        sequence: UInt64?, sealed: [UInt8] = [0, 1, 0, 255]
    ) -> TrustBundleRecord {
        TrustBundleRecord(
            trustDomain: domain, endpoint: endpoint, sequence: sequence, sealed: sealed, masterKeyID: "m1",
            updated: Sample.time)
    }
}
