import Broker
import BrokerConfigurationYAML
import Testing

@Suite struct `explain_to_caller` {
    @Test(arguments: [
        ("", false), (", explain_to_caller: true", true), (", explain_to_caller: false", false),
    ])
    func `is what the grant says, and false where it says nothing`(written: String, explains: Bool) throws {
        let reading = try SampleConfiguration.read([13: "    grant: {scope: [a]\(written)}"])
        #expect(reading.configuration.rules.rules.first?.terms.explainsToCaller == explains)
        #expect(reading.notes.isEmpty)
    }

    @Test(arguments: ["\"true\"", "yes", "1", "[true]"])
    func `is true or false`(value: String) {
        #expect(
            SampleConfiguration.errors([13: "    grant: {scope: [a], explain_to_caller: \(value)}"])
                == ["13:44: expected true or false, without quotes"])
    }

    @Test func `is warned of where everybody can have a token of the issuer`() throws {
        let lines = [
            8: "    issuer: https://token.actions.githubusercontent.com", 12: "    match: {repository_id: \"123456\"}",
            13: "    grant: {scope: [a], explain_to_caller: true}",
        ]
        let notes = try SampleConfiguration.read(lines).notes.map(\.text)
        #expect(
            notes == [
                "rule team says explain_to_caller, and corp issues tokens to everybody: everybody can learn which claims "
                    + "it tests; leave it out"
            ])
    }
}
