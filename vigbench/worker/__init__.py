"""What happens in the process of a case: build, check, count, warm up, measure. It knows no coordinator."""
