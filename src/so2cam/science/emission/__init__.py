"""From columns and speed to emission rates: sampling along lines, baseline, budget of uncertainties."""
