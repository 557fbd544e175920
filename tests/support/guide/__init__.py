"""What the French guide for vendors says of elements, codes, anomalies, algorithms: written from the code."""
