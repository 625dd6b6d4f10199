import JOSE

/// Form bodies. (`FormBody.swift` is a link to BrokerHTTP's: that target would bring a whole web server into this build.)
enum FormTarget: FuzzTarget {
    static func run(_ input: [UInt8]) {
        guard let form = try? FormBody(parsing: input) else { return }
        for name: ExactString in ["grant_type", "subject_token", "scope", "rule", "a", "b"] {
            let values = form.all(name)
            precondition(values.count <= 1, "a parameter that may not repeat stands twice")
            precondition(values.first == form[name])
        }
        for name: ExactString in ["audience", "resource", "a"] {
            for value in form.all(name) {
                precondition(
                    !value.isEmpty && !value.hasControlCharacters, "a value is empty or has control characters")
                precondition(value.utf8.count <= input.count, "a value is longer than the body")
            }
        }
    }
}
