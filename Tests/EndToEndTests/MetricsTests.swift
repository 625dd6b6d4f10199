import BrokerTesting
import Foundation
import JOSE
import NIOHTTP1
import Testing

/// What Prometheus itself says of the metrics and the alerts.
@Suite(.onOwnThreads) struct MetricsTests {
    private static let alerts = Programs.repository.appending(path: "config/prometheus/alerts.yaml")

    @Test(.enabled(if: Programs.promtool != nil, "promtool is not installed"))
    func `promtool accepts the metrics of a running broker and finds nothing to improve`() async throws {
        let workspace = try Workspace()
        let issuer = try TestIssuer("https://issuer.example.com")
        let broker = try await RunningBroker(
            workspace, issuersAndRules: RunningBroker.fileIssuer(issuer, in: workspace))
        let claims = issuer.claims(subject: "job", at: Date()).merging([
            "repository_id": "123456", "ref": "refs/heads/main",
        ])
        let gatewayToken = try #require(try await broker.exchange(issuer.token(claims)).text("access_token"))
        _ = try await broker.exchange(issuer.token(claims.merging(["ref": "refs/heads/feature"])))
        _ = try await broker.exchange("garbage")
        #expect(try await broker.verify(gatewayToken).status == 200)
        let scrape = try await broker.send(.GET, "\(broker.telemetry)/metrics")
        #expect(scrape.headers.first(name: "Content-Type") == "text/plain; version=0.0.4; charset=utf-8")
        #expect(scrape.body.contains("daypass_build_info{version=\""))
        #expect(scrape.body.contains("\nprocess_resident_memory_bytes "))

        // What a reader of the pages and the rules looks for has to be there.
        let shown = Set(
            scrape.body.split(separator: "\n").filter { $0.hasPrefix("# TYPE ") }
                .compactMap { $0.split(separator: " ").dropFirst(2).first.map(String.init) })
        for page in ["config/prometheus/alerts.yaml", "Sources/Broker/Broker.docc/Operations.md"] {
            let named = try Self.metrics(named: page)
            #expect(!named.isEmpty)
            #expect(named.subtracting(shown) == [], "\(page)")
        }
        #expect(shown.subtracting(try Self.metrics(named: "Sources/Broker/Broker.docc/Operations.md")) == [])

        try workspace.write("metrics", scrape.body)
        let checked = try await RunningProcess(
            "/bin/sh",
            ["-c", "exec \"$0\" check metrics < \"$1\"", try #require(Programs.promtool), workspace.path("metrics")]
        ).outcome()
        #expect(checked.status == 0 && checked.error == "" && checked.output == "", "\(checked)")
    }

    @Test(.enabled(if: Programs.promtool != nil, "promtool is not installed"))
    func `promtool accepts the alert rules, and each fires where it should and only there`() async throws {
        let promtool = try #require(Programs.promtool)
        let checked = try await RunningProcess(
            promtool, ["check", "rules", Self.alerts.path(percentEncoded: false)]
        ).outcome()
        #expect(checked.status == 0, "\(checked)")
        let cases = Programs.repository.appending(path: "Tests/Prometheus/alerts.test.yaml")
        let tested = try await RunningProcess(
            promtool, ["test", "rules", cases.path(percentEncoded: false)]
        ).outcome()
        #expect(tested.status == 0, "\(tested)")
    }

    @Test func `every alert has a summary, a runbook line and its place in Operations`() throws {
        let alerts = try String(contentsOf: Self.alerts, encoding: .utf8).components(separatedBy: "- alert: ")
            .dropFirst()
        let page = try String(
            contentsOf: Programs.repository.appending(path: "Sources/Broker/Broker.docc/Operations.md"), encoding: .utf8
        )
        #expect(alerts.count >= 10)
        for alert in alerts {
            let name = alert.prefix { $0 != "\n" }
            #expect(alert.contains("summary: \"") && alert.contains("runbook: \""), "\(name)")
            #expect(page.contains("`\(name)`"), "\(name)")
        }
    }

    /// Names of ours in a file, without the suffixes that a histogram adds.
    private static func metrics(named file: String) throws -> Set<String> {
        let text = try String(contentsOf: Programs.repository.appending(path: file), encoding: .utf8)
        let words = text.split { !($0.isASCII && ($0.isLetter || $0.isNumber || $0 == "_")) }.map(String.init)
        let names = words.filter { $0.hasPrefix("daypass_") || $0.hasPrefix("process_") }
        return Set(
            names.map { name in
                ["_bucket", "_count", "_sum"].first(where: name.hasSuffix).map { String(name.dropLast($0.count)) }
                    ?? name
            })
    }
}
