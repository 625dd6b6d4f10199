import Foundation
import JOSE
import SPIFFE
import Testing
import VectorFiles

/// SPIFFE-ID §2, checklist 4a.
@Suite struct SPIFFEIDTests {
    struct Table: Decodable {
        struct Row: Decodable, CustomTestStringConvertible {
            let kind: String
            let input: String
            let valid: Bool
            let disputed: Bool?
            let source: String
            let path: String?
            let trustDomain: String?

            enum CodingKeys: String, CodingKey {
                case kind, input, valid, disputed, source, path
                case trustDomain = "trust_domain"
            }

            var testDescription: String { "\(kind) \(input.debugDescription.prefix(60))" }
        }

        let rows: [Row]

        static let all: Table = {
            do {
                return try JSONDecoder().decode(Table.self, from: VectorFiles.data("spiffe/transcribed/spiffeid.json"))
            } catch {
                preconditionFailure("\(error)")
            }
        }()
    }

    @Test func `the table of go-spiffe, java-spiffe and rust-spiffe holds, all 603 rows of it`() throws {
        let rows = Table.all.rows
        #expect(rows.count == 603)
        var accepted = 0
        for row in rows {
            switch row.kind {
            case "spiffe_id":
                let id = try? SPIFFEID(parsing: Array(row.input.utf8))
                #expect((id != nil) == row.valid, "\(row.testDescription)")
                guard let id else { continue }
                accepted += 1
                #expect(id.text == ExactString(row.input))
                if let path = row.path { #expect(id.path == ExactString(path), "\(row.testDescription)") }
                if let domain = row.trustDomain { #expect(id.trustDomain.name == ExactString(domain)) }
            case "trust_domain":
                // go-spiffe's function takes an id for its domain as well; ours take one form each.
                let bare = try? TrustDomain(parsing: row.input)
                let ofID = try? SPIFFEID(parsing: Array(row.input.utf8)).trustDomain
                #expect((bare != nil || ofID != nil) == row.valid, "\(row.testDescription)")
                #expect(bare == nil || ofID == nil)
                if let domain = row.trustDomain { #expect((bare ?? ofID)?.name == ExactString(domain)) }
            case "path_segment":
                // A segment with a slash in it is two of them; the table's function takes one.
                guard !row.input.contains("/") else {
                    #expect(!row.valid)
                    continue
                }
                let id = try? SPIFFEID(parsing: Array("spiffe://trustdomain/\(row.input)".utf8))
                #expect((id != nil) == row.valid, "\(row.testDescription)")
            default: Issue.record("a kind that is not known: \(row.kind)")
            }
        }
        #expect(accepted == 120)
    }

    @Test(
        arguments: [
            ("", .scheme), ("spiffe:/example.org/a", .scheme), ("https://example.org/a", .scheme),
            ("SPIFFE://example.org/a", .scheme), ("\u{0}spiffe://example.org/a", .scheme),
            ("spiffe://", .noTrustDomain),
            ("spiffe:///a", .noTrustDomain), ("spiffe://Example.org/a", .trustDomainCharacter),
            ("spiffe://example.org:443/a", .trustDomainCharacter),
            ("spiffe://user@example.org/a", .trustDomainCharacter),
            ("spiffe://example%2eorg/a", .trustDomainCharacter), ("spiffe://example.org?a", .trustDomainCharacter),
            ("spiffe://example.org#a", .trustDomainCharacter), ("spiffe://[::1]/a", .trustDomainCharacter),
            ("spiffe://example.org\u{0}.evil.org/a", .trustDomainCharacter),
            ("spiffe://ex\u{430}mple.org/a", .trustDomainCharacter), ("spiffe://example.org/", .emptySegment),
            ("spiffe://example.org/a/", .emptySegment), ("spiffe://example.org//a", .emptySegment),
            ("spiffe://example.org/a/../b", .relativeSegment), ("spiffe://example.org/./b", .relativeSegment),
            ("spiffe://example.org/a?b", .pathCharacter), ("spiffe://example.org/a#b", .pathCharacter),
            ("spiffe://example.org/a%2fb", .pathCharacter), ("spiffe://example.org/a,URI:spiffe", .pathCharacter),
            ("spiffe://example.org/a\u{0}", .pathCharacter), ("spiffe://example.org/a b", .pathCharacter),
            ("spiffe://example.org/e\u{301}", .pathCharacter),
        ] as [(String, SPIFFEIDFailure)])
    func `text that is no SPIFFE ID is refused for one reason`(text: String, reason: SPIFFEIDFailure) {
        #expect(throws: reason) { try SPIFFEID(parsing: ExactString(text)) }
        #expect(!"\(reason)".isEmpty)
    }

    @Test func `an id of 2048 bytes and a trust domain of 255 are accepted, and no longer ones`() throws {
        let prefix = "spiffe://example.org/"
        let longest = prefix + String(repeating: "a", count: 2048 - prefix.utf8.count)
        #expect(try SPIFFEID(parsing: ExactString(longest)).text.utf8.count == 2048)
        #expect(throws: SPIFFEIDFailure.tooLong) { try SPIFFEID(parsing: ExactString(longest + "a")) }
        let domain = String(repeating: "a", count: 255)
        #expect(try SPIFFEID(parsing: ExactString("spiffe://\(domain)/x")).trustDomain.name == ExactString(domain))
        #expect(throws: SPIFFEIDFailure.trustDomainTooLong) { try TrustDomain(parsing: domain + "a") }
    }

    @Test(arguments: ["example..org", "-a", "1.2.3.4", ".", "_", "a.b-c_d", "xn--bcher-kva"])
    func `a trust domain is not judged by what it looks like`(name: String) throws {
        #expect(try TrustDomain(parsing: name).name == ExactString(name))
    }

    @Test func `paths that differ in case name different workloads`() throws {
        let lower = try SPIFFEID(parsing: "spiffe://example.org/a")
        let upper = try SPIFFEID(parsing: "spiffe://example.org/A")
        #expect(lower != upper)
        #expect(lower.trustDomain == upper.trustDomain)
        #expect(lower.isWorkload)
        #expect(try !SPIFFEID(parsing: "spiffe://example.org").isWorkload)
    }
}
