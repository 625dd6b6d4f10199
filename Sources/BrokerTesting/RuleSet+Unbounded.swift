package import Broker

// For tests, which wait as long as it takes.

extension RuleSet {
    package func answer(to question: RuleQuestion) -> RuleAnswer {
        var budget = MatchingBudget(.max)
        do throws(MatchingFailure) {
            return try answer(to: question, within: &budget)
        } catch {
            preconditionFailure("\(error)")
        }
    }

    package func attempts(_ question: RuleQuestion) -> [RuleAttempt] {
        var budget = MatchingBudget(.max)
        do throws(MatchingFailure) {
            return try attempts(question, within: &budget)
        } catch {
            preconditionFailure("\(error)")
        }
    }
}

extension RuleReplay {
    package mutating func examine(_ event: AuditEvent) {
        var budget = MatchingBudget(.max)
        do throws(MatchingFailure) {
            try examine(event, within: &budget)
        } catch {
            preconditionFailure("\(error)")
        }
    }
}
