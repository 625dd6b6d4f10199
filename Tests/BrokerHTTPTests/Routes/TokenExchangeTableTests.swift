import Foundation
import BrokerTesting
import JOSE
import NIOHTTP1
import Testing

/// The table by which dex tests its token exchange, with a token and a scope of ours in the place of its own.
@Suite(.onOwnThreads) struct `dex's table of token exchanges` {
    /// Where we answer differently on purpose: we issue no ID tokens, and take no access tokens yet.
    private static let differences = ["id-for-id": 400, "access-for-access": 400]

    @Test func `gets the same answers for every row but two`() async throws {
        let rows = try Self.rows()
        #expect(rows.count == 6)
        #expect(rows.filter { Self.differences[$0["name"] ?? ""] != nil }.count == 2)
        try await LiveBroker.run { broker in
            for row in rows {
                let name = try #require(row["name"])
                let token = row["subject_token"] == "" ? "" : try broker.subjectToken()
                let answer = try await broker.token([
                    ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"), ("subject_token", token),
                    ("subject_token_type", row["subject_token_type"] ?? ""), ("scope", "anthropic:messages"),
                    ("requested_token_type", row["requested_token_type"] ?? ""),
                ])
                let status = Self.differences[name] ?? row["http_status"].flatMap { Int($0) }
                #expect(Int(answer.status) == status, "\(name): \(answer.body)")
                #expect(answer.headers.first(name: "Content-Type") == "application/json", "\(name)")
                guard status == 200 else { continue }
                #expect(answer.text("issued_token_type") == row["issued_token_type"], "\(name)")
            }
        }
    }

    /// Each row's cells as text, by the names of their columns.
    private static func rows() throws -> [[String: String]] {
        let file = URL(filePath: #filePath).appending(path: "../../../Vectors/server-tables/dex_token_exchange.json")
        let table = try JSONSerialization.jsonObject(with: Data(contentsOf: file.standardized)) as? [String: Any]
        let columns = try #require(table?["columns"] as? [String])
        return try #require(table?["rows"] as? [[Any]]).map { row in
            Dictionary(uniqueKeysWithValues: zip(columns, row.map { "\($0)" }))
        }
    }
}
