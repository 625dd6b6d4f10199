import Broker
import BrokerConfigurationYAML
import JOSE
import Testing

@Suite struct `federation of a rule` {
    @Test func `its ids arrive at the rule`() throws {
        let yaml = SampleConfiguration.lines[11] + "\n    federation: {organization_id: \"12\", workspace_id: default}"
        let rule = try #require(try SampleConfiguration.read([12: yaml]).configuration.rules.rules.first)
        #expect(rule.federation[.organization] == "12")
        #expect(rule.federation[.serviceAccount] == nil)
        #expect(rule.federation[.workspace] == "default")
        #expect(try SampleConfiguration.read().configuration.rules.rules.first?.federation.isEmpty == true)
    }

    @Test(arguments: [
        ("{}", "13:17: expected at least one of organization_id, service_account_id, workspace_id"),
        (
            "[a]",
            "13:17: expected federation, a mapping with the keys organization_id, service_account_id, workspace_id"
        ),
        (
            "{organisation_id: a}",
            #"13:18: unknown key "organisation_id"; did you mean "organization_id"?"#
        ),
        (
            "{organization_id: 12}",
            "13:35: expected the organization_id that clients send, as text of at most 256 bytes; "
                + #"if "12" is meant as text, write it in quotes"#
        ),
        ("{workspace_id: ''}", "13:32: expected the workspace_id that clients send, as text of at most 256 bytes"),
        ("{workspace_id: [a]}", "13:32: expected the workspace_id that clients send, as text of at most 256 bytes"),
    ])
    func `what is no id is refused with its place`(yaml: String, error: String) {
        let lines = [12: SampleConfiguration.lines[11] + "\n    federation: \(yaml)"]
        let errors = SampleConfiguration.errors(lines)
        #expect(errors.first == error, "\(errors)")
    }
}
