import Broker
import BrokerTesting
import JOSE
import Testing

@Suite struct `Counters of exchanges, when rules change` {
    @Test func `go on under the same name, and count what is new`() throws {
        let (corp, other) = (try Fixture.name("corp"), try Fixture.name("other"))
        let a = try Fixture.rule("a", texts: [("sub", ["alice"])])
        let b = try Fixture.rule("b", issuer: "other", texts: [("sub", ["alice"])])
        let metrics = ExchangeMetrics(issuers: [corp], rules: [a])
        metrics.granted(issuer: corp, rule: "a", session: .opened)
        metrics.configure(issuers: [other], rules: [b])
        metrics.granted(issuer: other, rule: "b", session: .opened)
        // What began under the old rules and ends under the new ones.
        metrics.granted(issuer: corp, rule: "a", session: .opened)
        metrics.configure(issuers: [corp, other], rules: [b, a])
        metrics.granted(issuer: corp, rule: "a", session: .opened)
        let lines = metrics.lines.filter { $0.hasPrefix("daypass_exchanges_granted_total{") }
        #expect(
            lines == [
                #"daypass_exchanges_granted_total{issuer="corp",rule="a"} 2"#,
                #"daypass_exchanges_granted_total{issuer="other",rule="b"} 1"#,
                #"daypass_exchanges_granted_total{issuer="",rule=""} 1"#,
            ])
    }
}
