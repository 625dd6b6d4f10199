package import JOSE

extension Explanation {
    /// What a request asks for beyond a rule: the rule would refuse it even if it matched.
    package struct AskedTest: Sendable, Hashable {
        /// `scope` or `audience`
        package let parameter: ExactString
        /// What the rule grants.
        package let wanted: WantedValues
        /// What is asked for; by its digest where that is long.
        package let got: JSONValue

        package var json: JSONObject {
            var json: JSONObject = ["parameter": .string(parameter)]
            wanted.append(to: &json)
            _ = json.append("got", got)
            return json
        }

        /// Of scope and audience those that the terms refuse, as `Grant.narrowed` does.
        static func failed(by scope: [Scope]?, _ targets: [ExactString], _ terms: GrantTerms) -> [AskedTest] {
            var tests: [AskedTest] = []
            if let scope, scope.isEmpty || !scope.allSatisfy(terms.scope.contains) {
                tests.append(AskedTest("scope", wanted: terms.scope.map(\.text), got: scope.map(\.text)))
            }
            if let target = targets.first,
                !terms.audiences.contains(target) || targets.contains(where: { $0 != target })
            {
                tests.append(AskedTest("audience", wanted: terms.audiences, got: targets))
            }
            return tests
        }

        private init(_ parameter: ExactString, wanted: [ExactString], got: [ExactString]) {
            self.parameter = parameter
            self.wanted = WantedValues(wanted.map { JSONValue.string($0) })
            self.got = JSONValue.array(got.map { .string($0) }).shown
        }
    }
}
